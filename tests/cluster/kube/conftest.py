"""A real apiserver with the shipped manifests, a client for it, and a proxy that can misbehave."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from demokit.kubectl import APPLY, Kubectl
from labkit import binaries
from tests.cluster.kube.proxy import Proxy
from warlock_operator.errors import Conflict
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import GAME_HOST, GAME_INSTANCE, NAMESPACE, ObjectRef, Resource
from warlock_operator.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 20.0

FAST = Settings(
    api_request_timeout_seconds=5.0,
    api_page_size=3,
    api_retry_initial_seconds=0.05,
    api_retry_cap_seconds=0.3,
    watch_seconds=2.0,
    watch_grace_seconds=2.0,
    crd_wait_seconds=10.0,
    crd_poll_seconds=0.05,
    lease_duration_seconds=2.0,
    lease_renew_seconds=1.4,
    lease_retry_seconds=0.1,
    status_measurement_seconds=0.5,
    status_measurements_per_second=10.0,
    event_series_seconds=0.2,
)


async def until(fact: Callable[[], Any], what: str) -> Any:
    """Wait for *fact* (a function, or a coroutine function) to be true; gives what it gave."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = fact()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not in {DEADLINE_SECONDS} s: {what}"
        await asyncio.sleep(0.01)


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Callable[..., str]:
    """Run the kubectl beside the lab's binaries; gives its output, fails with its errors."""
    program = str(binaries.expected() / "kubectl")

    def run(*arguments: str, stdin: str | None = None, allow_failure: bool = False) -> str:
        done = subprocess.run(
            [program, f"--kubeconfig={kubeconfig}", *arguments],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert allow_failure or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def installed(admin_kubectl: Kubectl) -> None:
    """The shipped manifests, applied as a user applies them, and the CRDs served."""
    admin_kubectl(*APPLY, "-k", ROOT / "manifests/operator")
    admin_kubectl.wait_established("games", "gamehosts", "gameinstances")


@pytest.fixture
async def admin(kubeconfig: Path, installed: None) -> AsyncIterator[KubeClient]:
    """A client as the administrator, with settings that don't make tests wait."""
    async with await KubeClient.connect(replace(FAST, kubeconfig=str(kubeconfig))) as client:
        yield client


@pytest.fixture
async def namespace(admin: KubeClient) -> AsyncIterator[str]:
    """A namespace of the test's own."""
    name = f"kube-{uuid.uuid4().hex[:10]}"
    await admin.create(NAMESPACE, None, {"metadata": {"name": name}})
    yield name
    await remove(admin, NAMESPACE, None, name)


@pytest.fixture
async def own(kubeconfig: Path, namespace: str, admin: KubeClient) -> AsyncIterator[KubeClient]:
    """A client whose own namespace, for Lease and Secrets, is the test's."""
    settings = replace(admin.settings, namespace=namespace)
    async with await KubeClient.connect(settings) as client:
        yield client


@pytest.fixture
async def proxy(admin: KubeClient) -> AsyncIterator[Proxy]:
    """An HTTP proxy in front of the apiserver; it passes all on until it is told otherwise."""
    async with Proxy(await admin.login()) as running:
        yield running


@pytest.fixture
async def proxied(
    proxy: Proxy, namespace: str, admin: KubeClient, tmp_path: Path
) -> AsyncIterator[KubeClient]:
    """A client whose every request goes through *proxy*; its own namespace is the test's."""
    path = write_kubeconfig(tmp_path / "proxied", {"server": proxy.address}, {})
    settings = replace(admin.settings, namespace=namespace, kubeconfig=str(path))
    async with await KubeClient.connect(settings) as client:
        yield client


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    """A kubeconfig with one of everything."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


async def make_instance(
    admin: KubeClient, namespace: str, name: str, finalizers: tuple[str, ...] = ()
) -> ObjectRef:
    """A GameInstance that the schema accepts."""
    made = await admin.create(
        GAME_INSTANCE,
        namespace,
        {
            "apiVersion": GAME_INSTANCE.api_version,
            "kind": "GameInstance",
            "metadata": {"name": name, "finalizers": list(finalizers)},
            "spec": {"guid": "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61", "host": "host-a"},
        },
    )
    return ObjectRef("GameInstance", namespace, name, made["metadata"]["uid"])


async def make_host(admin: KubeClient, name: str) -> ObjectRef:
    """A GameHost like the sample; delete it afterwards, it belongs to no namespace."""
    text = (ROOT / "manifests/samples/hosts.yaml").read_text(encoding="utf-8")
    body = next(iter(yaml.safe_load_all(text)))
    body["metadata"] = {"name": name}
    made = await admin.create(GAME_HOST, None, json.loads(json.dumps(body)))
    return ObjectRef("GameHost", "", name, made["metadata"]["uid"])


async def remove(admin: KubeClient, resource: Resource, namespace: str | None, name: str) -> None:
    """Delete the object; a finalizer of its own keeps it until that is taken off."""
    await admin.request("DELETE", resource.path(namespace, name))


async def edit(admin: KubeClient, ref: ObjectRef, patch: dict[str, Any]) -> None:
    """Somebody else's edit; tried again where it lost a race."""
    for _ in range(5):
        try:
            await admin.merge(GAME_INSTANCE, ref.namespace, ref.name, patch)
        except Conflict:
            continue
        return
    raise AssertionError("the edit lost every race")
