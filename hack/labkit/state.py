"""
What is known of a lab between two commands: one JSON file in its folder.

Readers from outside (tests, scripts) find every path and address in it; we ourselves read
back only what can't be derived.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from labkit import locks, paths
from labkit.errors import LabError, NoSuchLab

HostKind = Literal["container", "vm"]
ClusterKind = Literal["local", "kind", "none"]

# Below the ephemeral range (32768 and up), or a client's outgoing connection could sit on
# the API server's port while a test has it stopped.
_FIRST_PORT = 21000
_PORTS_A_LAB = 8
_SUBNETS = 250


@dataclass
class HostState:
    """One machine; ``number`` makes its address and device names."""

    name: str
    number: int
    kind: HostKind
    suite: str
    preinstalled: bool
    machine_id: str


@dataclass
class LabState:
    """One lab; ``subnet`` is the third byte of 198.18.X.0/24 and makes device names and ports."""

    name: str
    subnet: int
    cluster: ClusterKind
    apiserver_port: int
    etcd_port: int
    etcd_peer_port: int
    argocd: bool = False
    hosts: dict[str, HostState] = field(default_factory=dict)


def file_of(name: str) -> Path:
    """Return where lab *name* keeps its state."""
    return paths.lab_folder(name) / "lab.json"


def names() -> list[str]:
    """Return the names of the labs that have a state, sorted."""
    return sorted(file.parent.name for file in paths.labs().glob("*/lab.json"))


def text(name: str) -> str:
    """Return the JSON of lab *name*, with what can be derived; raises NoSuchLab."""
    try:
        return file_of(name).read_text()
    except FileNotFoundError as error:
        known = ", ".join(names()) or "none"
        raise NoSuchLab(f"no lab {name!r} here (labs: {known}): hack/lab up") from error


def read(name: str) -> LabState:
    """Return the state of lab *name*; raises NoSuchLab."""
    found = json.loads(text(name))
    hosts = {key: HostState(**_only(HostState, host)) for key, host in found.pop("hosts").items()}
    return LabState(**_only(LabState, found), hosts=hosts)


def write(state: LabState, derived: dict[str, Any], derived_hosts: dict[str, Any]) -> None:
    """Write the state whole, with what can be derived for the readers outside."""
    content = {**asdict(state), **derived}
    content["hosts"] = {
        name: {**asdict(host), **derived_hosts.get(name, {})} for name, host in state.hosts.items()
    }
    file = file_of(state.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(content, indent=2) + "\n")
    fresh.replace(file)


def allocate(name: str, cluster: ClusterKind) -> LabState:
    """Give a new lab a subnet and ports that no other lab has, and write that down at once."""
    with locks.held("allocation", limit_seconds=60.0):
        others = [read(other) for other in names()]
        taken = {other.subnet for other in others}
        for subnet in range(_SUBNETS):
            if subnet in taken or (Path("/sys/class/net") / f"wlab{subnet}").exists():
                continue
            first = _FIRST_PORT + _PORTS_A_LAB * subnet
            ports = [port for port in range(first, first + _PORTS_A_LAB) if _free(port)]
            if len(ports) >= 3:
                apiserver, etcd, peer = ports[:3]
                state = LabState(name, subnet, cluster, apiserver, etcd, peer)
                write(state, {}, {})
                return state
    raise LabError("no subnet of 198.18.0.0/16 with three free ports is left: hack/lab down")


def machine_id() -> str:
    """Return a fresh machine-id, in the form of a random UUID (version 4)."""
    raw = bytearray(os.urandom(16))
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    return raw.hex()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _only(kind: type[HostState] | type[LabState], found: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of *found* that are fields of the dataclass *kind*, but hosts."""
    wanted = {entry.name for entry in fields(kind)} - {"hosts"}
    return {key: value for key, value in found.items() if key in wanted}
