"""Secrets and namespaces are followed through changes, dropped watches and refusals."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from tests.cluster.kube.conftest import remove, until
from tests.cluster.kube.proxy import Fault, Proxy
from tests.cluster.kube.tasks import running
from warlock_operator.kube.client import KubeClient
from warlock_operator.kube.namespaces import NamespaceLabels
from warlock_operator.kube.refs import NAMESPACE, SECRET
from warlock_operator.kube.secrets import KeySecrets


def secret(name: str, key: str, kind: str = "kubernetes.io/ssh-auth") -> dict[str, Any]:
    data = {"ssh-privatekey": base64.b64encode(key.encode()).decode()}
    return {"metadata": {"name": name}, "type": kind, "data": data}


async def change_key(admin: KubeClient, namespace: str, name: str, key: str) -> None:
    await admin.merge(SECRET, namespace, name, {"data": secret(name, key)["data"]})


async def test_keys_come_change_and_go_and_each_is_told_once(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    await admin.create(SECRET, namespace, secret("a", "one"))
    told: list[str] = []
    keys = KeySecrets(own, told.append)
    async with running(keys.run()):
        await asyncio.wait_for(keys.synced.wait(), 10)
        assert keys.get("a").private_key == b"one"  # type: ignore[union-attr]
        await change_key(admin, namespace, "a", "two")
        await until(lambda: keys.get("a").private_key == b"two", "the new key")  # type: ignore[union-attr]
        await admin.merge(SECRET, namespace, "a", {"metadata": {"labels": {"x": "y"}}})
        await admin.create(SECRET, namespace, secret("b", "other"))
        await until(lambda: keys.get("b"), "another Secret")
        await remove(admin, SECRET, namespace, "a")
        await until(lambda: keys.get("a") is None, "the Secret is gone")
    assert told == ["a", "a", "b", "a"]


async def test_other_secrets_are_not_even_asked_for(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    await admin.create(SECRET, namespace, secret("plain", "x", kind="Opaque"))
    await admin.create(SECRET, namespace, secret("a", "one"))
    keys = KeySecrets(own, lambda name: None)
    async with running(keys.run()):
        await until(lambda: keys.get("a"), "the key Secret")
    assert keys.get("plain") is None


async def test_more_secrets_than_a_page_holds_are_all_there(
    own: KubeClient, admin: KubeClient, namespace: str
) -> None:
    names = {f"host-{number}" for number in range(8)}
    for name in names:
        await admin.create(SECRET, namespace, secret(name, name))
    told: list[str] = []
    keys = KeySecrets(own, told.append)
    async with running(keys.run()):
        await asyncio.wait_for(keys.synced.wait(), 10)
    assert set(told) == names


@pytest.mark.parametrize("code", [410, 429, 500, 403])
async def test_a_refused_watch_heals_and_misses_nothing(
    proxied: KubeClient, proxy: Proxy, admin: KubeClient, namespace: str, code: int
) -> None:
    await admin.create(SECRET, namespace, secret("a", "one"))
    await admin.create(SECRET, namespace, secret("b", "one"))
    told: list[str] = []
    keys = KeySecrets(proxied, told.append)
    async with running(keys.run()):
        await until(lambda: keys.get("a"), "the key Secret")
        proxy.fault = lambda method, path: Fault(status=code)
        await proxy.drop_connections()
        await until(lambda: len(proxy.seen) > len(proxy.passed), "refused requests")
        await change_key(admin, namespace, "a", "two")
        await remove(admin, SECRET, namespace, "b")
        proxy.fault = lambda method, path: None
        await until(lambda: keys.get("b") is None, "the removal")
        assert keys.get("a").private_key == b"two"  # type: ignore[union-attr]
    assert sorted(told) == ["a", "a", "b", "b"]


async def test_a_watch_that_ends_by_itself_is_taken_up_without_a_new_list(
    proxied: KubeClient, proxy: Proxy, admin: KubeClient, namespace: str
) -> None:
    told: list[str] = []
    keys = KeySecrets(proxied, told.append)
    async with running(keys.run()):
        await asyncio.wait_for(keys.synced.wait(), 10)
        await admin.create(SECRET, namespace, secret("a", "one"))
        await change_key(admin, namespace, "a", "two")
        await until(lambda: proxy.watches >= 3, "three watches")
        await change_key(admin, namespace, "a", "three")
        await until(lambda: keys.get("a").private_key == b"three", "the newest key")  # type: ignore[union-attr]
    assert proxy.watches == len(proxy.seen) - 1
    assert told == ["a", "a", "a"]  # nothing is told twice, as it would be from where we began


async def test_labels_of_namespaces_are_followed(admin: KubeClient, namespace: str) -> None:
    told: list[str] = []

    def tell(name: str) -> None:
        if name == namespace:  # those of earlier tests are still going
            told.append(name)

    labels = NamespaceLabels(admin, tell)
    async with running(labels.run()):
        await asyncio.wait_for(labels.synced.wait(), 10)
        before = labels.get(namespace)
        assert before is not None
        assert before["kubernetes.io/metadata.name"] == namespace
        told.clear()
        change = {"metadata": {"labels": {"warlock.dev/tenant": "games"}}}
        await admin.merge(NAMESPACE, None, namespace, change)
        await until(lambda: told == [namespace], "the change is told")
        after = labels.get(namespace)
        assert after is not None
        assert after["warlock.dev/tenant"] == "games"
        change = {"metadata": {"annotations": {"x": "y"}}}
        await admin.merge(NAMESPACE, None, namespace, change)
        assert labels.get("no-such-namespace") is None
    assert told == [namespace]
