"""The fleet's objects: one Game, hosts by number, and so many instances on each."""

from __future__ import annotations

import uuid
from typing import Any

import yaml

from labkit import paths
from scalekit.sshd import USER

NAMESPACE = "scale"
SECRET = "scale-ssh"
API = "warlock.dev/v1alpha1"

Object = dict[str, Any]


def game(*, query: bool) -> Object:
    """The sample's Game with nothing to install. query: its players are counted."""
    text = (paths.REPOSITORY / "manifests/games/openarena.yaml").read_text()
    made: Object = yaml.safe_load(text)
    made["spec"]["install"] = {"none": {}}
    if not query:
        del made["spec"]["query"]
    return made


def key_secret(private_key: str, namespace: str) -> Object:
    """The Secret with the key to all of them."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace},
        "type": "kubernetes.io/ssh-auth",
        "stringData": {"ssh-privatekey": private_key},
    }


def address(host: int) -> str:
    """An address of its own for each host, on loopback."""
    return f"127.77.{host // 200}.{host % 200 + 1}"


def game_host(host: int, port: int, host_key: str) -> Object:
    """One machine."""
    spec = {
        "address": address(host),
        "ssh": {
            "port": port,
            "user": USER,
            "keySecret": {"name": SECRET},
            "hostKeyPolicy": "Pinned",
            "hostKeys": [host_key],
        },
        "ports": {"ranges": [{"from": 27960, "to": 28959}]},
        "pathRoots": ["/opt", "/srv"],
    }
    return {
        "apiVersion": API, "kind": "GameHost", "metadata": {"name": host_name(host)}, "spec": spec
    }  # fmt: skip


def game_instance(guid: str, host: int, number: int) -> Object:
    """One instance; its id is the same on each host, as its port will be."""
    spec = {
        "guid": guid,
        "host": host_name(host),
        "instance_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.scale")),
        "instance_name": f"Server {number} of {host_name(host)}",
        "env": [{"name": "SERVER_NAME", "value": f"{host_name(host)} {number}"}],
    }
    metadata = {"name": f"{host_name(host)}-{number:04}", "namespace": NAMESPACE}
    return {"apiVersion": API, "kind": "GameInstance", "metadata": metadata, "spec": spec}


def host_name(host: int) -> str:
    """The GameHost's name."""
    return f"host-{host:05}"
