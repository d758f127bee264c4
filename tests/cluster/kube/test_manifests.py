"""The shipped manifests: accepted, restricted, and no verb more than the operator uses."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kube.conftest import (
    FAST,
    ROOT,
    make_host,
    make_instance,
    remove,
    until,
    write_kubeconfig,
)
from tests.cluster.kube.proxy import Proxy
from tests.cluster.kube.tasks import running
from warlock_operator import settings as knobs
from warlock_operator.errors import ApiRefused, ObjectGone
from warlock_operator.kube import discovery
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.lease import Lease
from warlock_operator.kube.namespaces import NamespaceLabels
from warlock_operator.kube.recorder import NORMAL, Recorder
from warlock_operator.kube.refs import (
    GAME,
    GAME_HOST,
    GAME_INSTANCE,
    LEASE,
    OURS,
    ObjectRef,
    Resource,
)
from warlock_operator.kube.secrets import KeySecrets
from warlock_operator.settings import Settings

MANIFESTS = ROOT / "manifests/operator"
ACCOUNT = "system:serviceaccount:warlock-system:warlock-operator"
FINALIZER = "warlock.dev/host"
CLUSTER_ROLE = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
GAME_GUID = "b1d0a4a6-2f5e-4f0e-9e3b-2f6f7a1c9d10"


@pytest.fixture(scope="session")
def documents(kubectl: Callable[..., str]) -> list[dict[str, Any]]:
    """What kustomize makes of the base."""
    return [d for d in yaml.safe_load_all(kubectl("kustomize", str(MANIFESTS))) if d]


@pytest.fixture
async def account(
    proxy: Proxy, admin: KubeClient, kubectl: Callable[..., str], tmp_path: Path
) -> AsyncIterator[KubeClient]:
    """A client as exactly the shipped ServiceAccount, through *proxy*."""
    token = kubectl("create", "token", "-n", "warlock-system", "warlock-operator").strip()
    used = await admin.login()
    await proxy.log_in(replace(used, token=token, certificate_file=None, key_file=None))
    path = write_kubeconfig(tmp_path / "account", {"server": proxy.address}, {})
    async with await KubeClient.connect(replace(FAST, kubeconfig=str(path))) as client:
        yield client


def test_the_apiserver_takes_all_of_it_without_a_warning(
    kubectl: Callable[..., str], installed: None
) -> None:
    """Its namespace enforces restricted Pod Security, and warns where a pod falls short."""
    output = kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "-k", str(MANIFESTS),
    )  # fmt: skip
    assert "deployment.apps/warlock-operator serverside-applied (server dry run)" in output
    assert "arning" not in output


async def test_the_pod_is_admitted_where_restricted_is_enforced_and_a_laxer_one_is_not(
    admin: KubeClient, documents: list[dict[str, Any]]
) -> None:
    template = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": template["spec"]}
    path = "/api/v1/namespaces/warlock-system/pods"
    await admin.request("POST", path, {"dryRun": "All"}, body=pod)
    lax = json.loads(json.dumps(pod))
    lax["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(ApiRefused, match="restricted"):
        await admin.request("POST", path, {"dryRun": "All"}, body=lax)


def test_the_deployment_replaces_and_never_runs_two(documents: list[dict[str, Any]]) -> None:
    spec = next(d for d in documents if d["kind"] == "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    container = spec["template"]["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {"livenessProbe", "readinessProbe", "resources"} <= container.keys()


def test_its_environment_is_made_of_settings_that_exist(documents: list[dict[str, Any]]) -> None:
    spec = next(d for d in documents if d["kind"] == "Deployment")["spec"]
    container = spec["template"]["spec"]["containers"][0]
    given = {entry["name"]: entry.get("value", "warlock-system") for entry in container["env"]}
    assert knobs.unknown_variables(given) == []
    assert knobs.from_environment(given).web_port == container["ports"][0]["containerPort"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > Settings().shutdown_seconds


def granted(documents: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(verb, group/resource) of every rule of the operator's own roles."""
    rules = [
        rule
        for document in documents
        if document["kind"] in ("Role", "ClusterRole")
        and document["metadata"]["name"] == "warlock-operator"
        for rule in document["rules"]
    ]
    return {
        (verb, f"{group}/{resource}")
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def used(method: str, path: str, watch: bool) -> tuple[str, str] | None:
    """(verb, group/resource) of a request; None for discovery, which everybody may."""
    match = re.fullmatch(
        r"/(?:api|apis/(?P<group>[^/]+))/v1(?:alpha1)?"
        r"(?:/namespaces/[^/]+(?=/))?(?:/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+)(?P<sub>/\w+)?)?)?",
        path,
    )
    assert match, path
    if match["resource"] is None:
        return None
    several = "watch" if watch else "list"
    verb = {"GET": "get" if match["name"] else several, "POST": "create", "PUT": "update"}
    resource = match["resource"] + (match["sub"] or "")
    return verb.get(method, method.lower()), f"{match['group'] or ''}/{resource}"


async def test_all_that_the_operator_asks_is_granted_and_nothing_else_is(
    account: KubeClient,
    admin: KubeClient,
    proxy: Proxy,
    documents: list[dict[str, Any]],
    namespace: str,
) -> None:
    host = await make_host(admin, namespace)
    game = await make_game(admin, namespace)
    instance = await make_instance(admin, namespace, "arena")
    with suppress(ObjectGone):
        await remove(admin, LEASE, "warlock-system", "warlock-operator")
    try:
        await everything(account, proxy, game, host, instance)
    finally:
        await remove(admin, GAME_HOST, None, host.name)
        await remove(admin, GAME, None, game.name)
    asked = {used(*request) for request in proxy.requests} - {None}
    assert asked == granted(documents)


async def make_game(admin: KubeClient, name: str) -> ObjectRef:
    text = (ROOT / "manifests/games/openarena.yaml").read_text(encoding="utf-8")
    body = next(iter(yaml.safe_load_all(text)))
    body["metadata"] = {"name": name}
    body["spec"]["guid"] = GAME_GUID
    made = await admin.create(GAME, None, body)
    return ObjectRef("Game", "", name, made["metadata"]["uid"])


async def everything(
    account: KubeClient, proxy: Proxy, game: ObjectRef, host: ObjectRef, instance: ObjectRef
) -> None:
    """Whatever the operator asks of the apiserver, kopf's lists and watches included."""
    assert await discovery.missing_kinds(account) == []
    await account.owner_id()
    for resource in OURS:
        await account.list_keys(resource)
        _, version = await account.list_objects(resource)
        async for _ in account.watch(resource, None, version):
            break
    for ref, resource in ((game, GAME), (host, GAME_HOST), (instance, GAME_INSTANCE)):
        await account.get(resource, ref.namespace, ref.name)
        await account.apply_status(ref, {"observedGeneration": 1})
    for ref in (host, instance):
        await account.add_finalizer(ref, FINALIZER)
        await account.remove_finalizer(ref, FINALIZER)
    await lead(account)
    await record(account, host, instance)
    await follow(account, proxy)


async def lead(account: KubeClient) -> None:
    lease = Lease(account)
    await asyncio.wait_for(lease.acquire(), 10)
    await lease.release()


async def record(account: KubeClient, *refs: ObjectRef) -> None:
    recorder = Recorder(account, "test")
    async with running(recorder.run()):
        for ref in refs:
            for _ in range(2):
                recorder.event(ref, NORMAL, "Tested", "by a test", "Test")
        assert await recorder.flush(10)
    assert recorder.counters.dropped == 0


async def follow(account: KubeClient, proxy: Proxy) -> None:
    watches = proxy.watches + 2
    keys, labels = KeySecrets(account, lambda n: None), NamespaceLabels(account, lambda n: None)
    async with running(keys.run()), running(labels.run()):
        await until(lambda: proxy.watches == watches, "both are watched")
        assert keys.synced.is_set()
        assert labels.synced.is_set()


@pytest.mark.parametrize(
    "question",
    [
        ("get", "secrets", "-n", "default"),
        ("list", "secrets", "-A"),
        ("create", "secrets", "-n", "warlock-system"),
        ("update", "leases/other", "-n", "warlock-system"),
        ("get", "leases/warlock-operator", "-n", "kube-system"),
        ("delete", "gameinstances", "-A"),
        ("create", "gameinstances", "-A"),
        ("update", "gameinstances", "-A"),
        ("patch", "games"),
        ("delete", "gamehosts"),
        ("list", "customresourcedefinitions"),
        ("create", "pods", "-n", "warlock-system"),
        ("patch", "namespaces"),
        ("create", "serviceaccounts/token", "-n", "warlock-system"),
        ("impersonate", "users"),
        ("escalate", "clusterroles"),
    ],
)
def test_what_the_account_must_not_do(
    kubectl: Callable[..., str], installed: None, question: tuple[str, ...]
) -> None:
    answer = kubectl("auth", "can-i", f"--as={ACCOUNT}", *question, allow_failure=True)
    assert answer.startswith("no")


@pytest.mark.parametrize(
    ("role", "verb", "answer"),
    [
        ("view", "get", "yes"), ("view", "create", "no"), ("view", "delete", "no"),
        ("edit", "create", "yes"), ("edit", "delete", "yes"), ("edit", "deletecollection", "no"),
        ("admin", "deletecollection", "yes"), ("admin", "patch", "yes"),
    ],
)  # fmt: skip
async def test_who_may_in_a_namespace_may_with_its_instances(
    admin: KubeClient,
    kubectl: Callable[..., str],
    namespace: str,
    role: str,
    verb: str,
    answer: str,
) -> None:
    """
    Kubernetes' own role selects ours by label; a controller that a lab may lack copies the rules.
    """
    theirs = await admin.get(CLUSTER_ROLE, None, role)
    ours = await admin.get(CLUSTER_ROLE, None, f"games-{role}")
    selectors = theirs["aggregationRule"]["clusterRoleSelectors"]
    assert any(s["matchLabels"].items() <= ours["metadata"]["labels"].items() for s in selectors)
    binding = ("rolebinding", "r", f"--clusterrole=games-{role}", "--user=ann", "-n", namespace)
    kubectl("create", *binding)
    asking = ("auth", "can-i", "--as=ann", "-n", namespace)

    def said() -> bool:
        told = kubectl(*asking, verb, "gameinstances.warlock.dev", allow_failure=True)
        return told.startswith(answer)

    await until(said, f"{role} may {verb}: {answer}")
    status = ("patch", "gameinstances.warlock.dev", "--subresource=status")
    assert kubectl(*asking, *status, allow_failure=True).startswith("no")
