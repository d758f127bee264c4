"""The client on a real apiserver: reading, statuses, finalizers, watches, errors."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube.conftest import (
    FAST,
    edit,
    make_instance,
    remove,
    until,
    write_kubeconfig,
)
from tests.cluster.kube.proxy import Fault, Proxy
from warlock_operator.api.crd import NOT_YET_OBSERVED
from warlock_operator.errors import (
    ApiExpired,
    ApiRefused,
    ApiUnavailable,
    Conflict,
    ObjectGone,
)
from warlock_operator.kube import discovery
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.refs import GAME_INSTANCE, NAMESPACE, ObjectRef, Resource

FINALIZER = "warlock.dev/host"
EXPIRED = """{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},\
"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}
"""
OTHER_UID = "00000000-0000-4000-8000-000000000000"


async def metadata(admin: KubeClient, ref: ObjectRef) -> dict[str, Any]:
    found = await admin.get(GAME_INSTANCE, ref.namespace, ref.name)
    return dict(found["metadata"])


async def status(admin: KubeClient, ref: ObjectRef) -> Any:
    return (await admin.get(GAME_INSTANCE, ref.namespace, ref.name)).get("status")


# --- statuses -----------------------------------------------------------------------------


async def test_an_equal_status_keeps_the_resource_version(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    wanted = {"state": "Running", "players": {"online": 3, "names": ["a"]}}
    first = await admin.apply_status(ref, wanted)
    assert await admin.apply_status(ref, wanted) == first
    assert await admin.apply_status(ref, wanted | {"state": "Stopped"}) != first


async def test_a_status_is_the_whole_status_also_of_what_others_put_in(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    await admin.apply_status(ref, {"state": "Running", "version": "1"})
    path = GAME_INSTANCE.path(namespace, "arena", "status")
    await admin.request(
        "PATCH", path, body={"status": {"user": "mallory"}}, media="merge-patch+json"
    )
    await admin.apply_status(ref, {"state": "Running"})
    assert await status(admin, ref) == {"state": "Running"}


async def test_a_status_of_another_object_of_that_name_is_refused(
    admin: KubeClient, namespace: str
) -> None:
    old = await make_instance(admin, namespace, "arena")
    await remove(admin, GAME_INSTANCE, namespace, "arena")
    new = await make_instance(admin, namespace, "arena")
    with pytest.raises(ObjectGone):
        await admin.apply_status(old, {"state": "Running"})
    assert await status(admin, new) == NOT_YET_OBSERVED


async def test_a_status_of_a_missing_object_makes_no_ghost(
    admin: KubeClient, namespace: str
) -> None:
    with pytest.raises(ObjectGone):
        await admin.apply_status(
            ObjectRef("GameInstance", namespace, "ghost", OTHER_UID), {"state": "Running"}
        )
    items, _ = await admin.list_objects(GAME_INSTANCE, namespace)
    assert items == []


async def test_a_status_that_the_schema_refuses_says_why(admin: KubeClient, namespace: str) -> None:
    ref = await make_instance(admin, namespace, "arena")
    with pytest.raises(ApiRefused, match=r"status\.state") as caught:
        await admin.apply_status(ref, {"state": "Sideways"})
    assert caught.value.status_code == 422


async def test_a_status_changes_neither_spec_nor_generation_nor_finalizers(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena", finalizers=(FINALIZER,))
    before = await metadata(admin, ref)
    await admin.apply_status(ref, {"state": "Running"})
    after = await metadata(admin, ref)
    assert [after[k] for k in ("generation", "finalizers")] == [
        before[k] for k in ("generation", "finalizers")
    ]
    await admin.remove_finalizer(ref, FINALIZER)


# --- finalizers ---------------------------------------------------------------------------


async def test_a_finalizer_is_put_beside_others_and_taken_off_alone(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena", finalizers=("example.com/theirs",))
    await admin.add_finalizer(ref, FINALIZER)
    await admin.add_finalizer(ref, FINALIZER)
    assert (await metadata(admin, ref))["finalizers"] == ["example.com/theirs", FINALIZER]
    await admin.remove_finalizer(ref, FINALIZER)
    await admin.remove_finalizer(ref, FINALIZER)
    assert (await metadata(admin, ref))["finalizers"] == ["example.com/theirs"]
    await edit(admin, ref, {"metadata": {"finalizers": []}})


async def test_a_finalizer_costs_one_request_by_what_a_watch_brought(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    await proxied.add_finalizer(ref, FINALIZER, await metadata(admin, ref))
    assert len(proxy.seen) == 1
    await proxied.add_finalizer(ref, FINALIZER, await metadata(admin, ref))
    assert len(proxy.seen) == 1
    await proxied.remove_finalizer(ref, FINALIZER, await metadata(admin, ref))
    assert len(proxy.seen) == 2


async def test_a_stale_sight_does_not_overwrite_what_others_wrote(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    stale = await metadata(admin, ref)
    await edit(admin, ref, {"metadata": {"finalizers": ["example.com/theirs"]}})
    await admin.add_finalizer(ref, FINALIZER, stale)
    assert (await metadata(admin, ref))["finalizers"] == ["example.com/theirs", FINALIZER]
    await edit(admin, ref, {"metadata": {"finalizers": []}})


async def test_a_finalizer_never_lands_on_another_object_of_that_name(
    admin: KubeClient, namespace: str
) -> None:
    old = await make_instance(admin, namespace, "arena")
    stale = await metadata(admin, old)
    await remove(admin, GAME_INSTANCE, namespace, "arena")
    new = await make_instance(admin, namespace, "arena", finalizers=(FINALIZER,))
    for seen in (None, stale):
        with pytest.raises(ObjectGone):
            await admin.add_finalizer(old, "warlock.dev/other", seen)
    await admin.remove_finalizer(old, FINALIZER)
    assert (await metadata(admin, new))["finalizers"] == [FINALIZER]
    await admin.remove_finalizer(new, FINALIZER)


async def test_no_finalizer_is_added_once_the_object_is_being_deleted(
    admin: KubeClient, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena", finalizers=("example.com/theirs",))
    await remove(admin, GAME_INSTANCE, namespace, "arena")
    with pytest.raises(ObjectGone, match="being deleted"):
        await admin.add_finalizer(ref, FINALIZER)
    await edit(admin, ref, {"metadata": {"finalizers": []}})
    await admin.remove_finalizer(ref, FINALIZER)  # it is gone: nothing to do


async def test_races_for_finalizers_lose_none(admin: KubeClient, namespace: str) -> None:
    ref = await make_instance(admin, namespace, "arena")
    names = [f"example.com/f{number}" for number in range(4)]
    await asyncio.gather(*(admin.add_finalizer(ref, name) for name in names))
    assert sorted((await metadata(admin, ref))["finalizers"]) == names
    for name in names:
        await admin.remove_finalizer(ref, name)


async def test_an_object_that_changes_every_time_is_given_up_as_a_conflict(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    ref = await make_instance(admin, namespace, "arena")
    refuse = Fault(status=409)
    proxy.fault = lambda method, path: refuse if method == "PATCH" else None
    with pytest.raises(Conflict):
        await proxied.add_finalizer(ref, FINALIZER)
    assert sum(method == "PATCH" for method, _ in proxy.seen) == FAST.api_conflict_attempts


# --- reading ------------------------------------------------------------------------------


async def test_lists_of_names_are_paged_and_complete(
    proxied: KubeClient, proxy: Proxy, admin: KubeClient, namespace: str
) -> None:
    made = [await make_instance(admin, namespace, f"arena-{number}") for number in range(7)]
    keys = await proxied.list_keys(GAME_INSTANCE)
    assert {ref.uid: (namespace, ref.name) for ref in made}.items() <= keys.items()
    assert proxy.count("GET") >= 3  # pages of three


async def test_a_list_whose_pages_expired_starts_again(
    proxied: KubeClient, proxy: Proxy, admin: KubeClient, namespace: str
) -> None:
    for number in range(4):
        await make_instance(admin, namespace, f"arena-{number}")
    answers = iter([None, Fault(status=410)])
    proxy.fault = lambda method, path: next(answers, None)
    items, _ = await proxied.list_objects(GAME_INSTANCE, namespace)
    assert len(items) == 4


async def test_the_owner_is_the_uid_of_kube_system(
    admin: KubeClient, kubectl: Callable[..., str]
) -> None:
    uid = kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}")
    assert await admin.owner_id() == uid


async def test_a_watch_brings_changes_and_ends_by_itself(admin: KubeClient, namespace: str) -> None:
    _, version = await admin.list_objects(GAME_INSTANCE, namespace)
    await make_instance(admin, namespace, "arena")
    changes = [
        (change, item["metadata"]["name"])
        async for change, item in admin.watch(GAME_INSTANCE, namespace, version)
        if change != "BOOKMARK"
    ]
    assert changes == [("ADDED", "arena")]


async def test_a_watch_without_a_sign_of_life_is_given_up(
    admin: KubeClient, proxied: KubeClient, proxy: Proxy, namespace: str
) -> None:
    _, version = await admin.list_objects(GAME_INSTANCE, namespace)
    proxy.fault = lambda method, path: Fault(delay_seconds=30)
    proxied.settings = replace(proxied.settings, watch_seconds=0.1, watch_grace_seconds=0.3)
    with pytest.raises(ApiUnavailable, match="no answer in time"):
        async for _ in proxied.watch(GAME_INSTANCE, namespace, version):
            pass


@pytest.mark.parametrize("fault", [Fault(status=410), Fault(status=200, body=EXPIRED)])
async def test_a_watch_from_too_long_ago_is_expired_in_either_way_of_saying_so(
    proxied: KubeClient, proxy: Proxy, fault: Fault
) -> None:
    proxy.fault = lambda method, path: fault
    with pytest.raises(ApiExpired):
        async for _ in proxied.watch(NAMESPACE, None, "1"):
            pass


# --- errors -------------------------------------------------------------------------------


async def test_429_says_how_long_to_wait(proxied: KubeClient, proxy: Proxy) -> None:
    proxy.fault = lambda method, path: Fault(status=429, retry_after="3")
    with pytest.raises(ApiUnavailable) as caught:
        await proxied.owner_id()
    assert (caught.value.retry_after_seconds, caught.value.status_code) == (3.0, 429)


async def test_an_apiserver_that_is_away_or_silent_is_unavailable(
    proxied: KubeClient, proxy: Proxy, tmp_path: Path
) -> None:
    away = write_kubeconfig(tmp_path / "away", {"server": "http://127.0.0.1:1"}, {})
    async with await KubeClient.connect(replace(FAST, kubeconfig=str(away))) as client:
        with pytest.raises(ApiUnavailable):
            await client.owner_id()
    proxy.fault = lambda method, path: Fault(delay_seconds=30)
    proxied.settings = replace(proxied.settings, api_request_timeout_seconds=0.2)
    with pytest.raises(ApiUnavailable, match="no answer in time"):
        await proxied.owner_id()


async def test_a_request_that_waits_for_its_turn_is_not_given_up(
    proxy: Proxy, admin: KubeClient, tmp_path: Path
) -> None:
    """With a thousand hosts to begin with, the last in the queue waits for seconds."""
    path = write_kubeconfig(tmp_path / "few", {"server": proxy.address}, {})
    proxy.fault = lambda method, path: Fault(delay_seconds=0.2)
    settings = replace(
        FAST, kubeconfig=str(path), api_connections=1, api_request_timeout_seconds=0.7
    )
    async with await KubeClient.connect(settings) as client:
        owners = await asyncio.gather(*(client.owner_id() for _ in range(6)))
    assert len(owners) == 6
    assert proxy.at_once["/api/v1/namespaces/kube-system"] == 1


async def test_a_proxy_of_the_environment_is_not_asked_and_no_netrc_read(
    proxied: KubeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for kopf's watches; looking for them at each request is a tenth of a start's CPU."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await proxied.owner_id()


async def test_missing_credentials_say_which(tmp_path: Path) -> None:
    with pytest.raises(ApiRefused, match="nowhere"):
        await KubeClient.connect(replace(FAST, kubeconfig=str(tmp_path / "nowhere")))
    with pytest.raises(ApiRefused, match="ServiceAccount"):
        await KubeClient.connect(FAST, {"KUBERNETES_SERVICE_HOST": "198.19.0.1"})


async def test_a_token_file_is_read_again(
    kubeconfig: Path, kubectl: Callable[..., str], admin: KubeClient, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A bound token is replaced in its file long before it ends."""
    monkeypatch.setattr("warlock_operator.kube.client.TOKEN_REREAD_SECONDS", 0.0)
    used = await admin.login()
    cluster = {"server": used.server, "certificate-authority": used.ca_file}
    token = tmp_path / "token"
    token.write_text("stale", encoding="utf-8")
    path = write_kubeconfig(tmp_path / "config", cluster, {"tokenFile": "token"})
    async with await KubeClient.connect(replace(FAST, kubeconfig=str(path))) as client:
        with pytest.raises(ApiRefused):
            await client.owner_id()
        create = ("create", "token", "-n", "warlock-system", "warlock-operator")
        token.write_text(kubectl(*create), encoding="utf-8")
        assert await client.owner_id() == await admin.owner_id()


async def test_in_a_pod_the_mounted_account_is_used(
    kubectl: Callable[..., str], admin: KubeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real account and apiserver; only the mount's path is this machine's."""
    used = await admin.login()
    host, port = used.server.removeprefix("https://").split(":")
    create = ("create", "token", "-n", "warlock-system", "warlock-operator")
    (tmp_path / "token").write_text(kubectl(*create), encoding="utf-8")
    mount = "kubernetes.aio.config.incluster_config"
    monkeypatch.setattr(f"{mount}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{mount}.SERVICE_CERT_FILENAME", used.ca_file)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    async with await KubeClient.connect(FAST) as client:
        assert await client.owner_id() == await admin.owner_id()
        with pytest.raises(ApiRefused) as caught:
            await client.create(NAMESPACE, None, {"metadata": {"name": "x"}})
        assert caught.value.status_code == 403
        assert (await client.login()).token == (tmp_path / "token").read_text().strip()


# --- discovery ----------------------------------------------------------------------------


async def test_waiting_for_kinds_says_what_is_missing_and_ends_when_it_comes(
    admin: KubeClient, kubectl: Callable[..., str]
) -> None:
    toy = Resource("toys.warlock.test", "v1", "toys", "Toy", namespaced=True)
    told: list[list[str]] = []
    waiting = asyncio.create_task(
        discovery.wait_for_kinds(admin, lambda names: told.append(list(names)), (toy,))
    )
    try:
        await until(lambda: told, "what is missing is told")
        assert not waiting.done()
        kubectl("apply", "--server-side", "-f", "-", stdin=TOY)
        await waiting
        assert told == [["toys.toys.warlock.test"]]
    finally:
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        kubectl("delete", "crd", "--ignore-not-found", "toys.toys.warlock.test")


async def test_kinds_that_never_come_end_the_wait(admin: KubeClient) -> None:
    toy = Resource("never.warlock.test", "v1", "toys", "Toy", namespaced=True)
    admin.settings = replace(admin.settings, crd_wait_seconds=0.1)
    with pytest.raises(ApiUnavailable, match=r"toys\.never\.warlock\.test"):
        await discovery.wait_for_kinds(admin, lambda names: None, (toy,))
    assert await discovery.missing_kinds(admin) == []


TOY = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.toys.warlock.test}
spec:
  group: toys.warlock.test
  scope: Namespaced
  names: {plural: toys, kind: Toy, singular: toy}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""
