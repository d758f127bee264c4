"""
The lab's network: a bridge a lab, a namespace and a veth pair a host, no way out.

| thing                      | name or address                             |
| -------------------------- | ------------------------------------------- |
| lab number X (0 to 249)    | 198.18.X.0/24, the bridge wlabX is .1       |
| host number N (0 to 199)   | 198.18.X.(10+N), device wlXhN on the bridge |
| its namespace (containers) | wlabX-NAME                                  |
"""

from __future__ import annotations

import json
from pathlib import Path

from labkit.commands import attempt, run
from labkit.errors import LabError

_PREFIX = 24
_FIRST_HOST = 10
HOSTS = 200


def bridge(subnet: int) -> str:
    """Return the name of the lab's bridge."""
    return f"wlab{subnet}"


def gateway(subnet: int) -> str:
    """Return the address of this machine in the lab's network."""
    return f"198.18.{subnet}.1"


def address(subnet: int, number: int) -> str:
    """Return the address of host *number*."""
    return f"198.18.{subnet}.{_FIRST_HOST + number}"


def device(subnet: int, number: int) -> str:
    """Return the name of the host's end that lies on the bridge."""
    return f"wl{subnet}h{number}"


def namespace(subnet: int, host: str) -> str:
    """Return the name of the network namespace of a container host."""
    return f"wlab{subnet}-{host}"


def up(subnet: int) -> None:
    """Make the bridge and give it its address; doing it again changes nothing."""
    name = bridge(subnet)
    if not _exists(name):
        # forward_delay 0: a new port would drop frames for 15 s otherwise.
        run("ip", "link", "add", name, "type", "bridge", "forward_delay", "0", "stp_state", "0")
    run("ip", "address", "replace", f"{gateway(subnet)}/{_PREFIX}", "dev", name)
    run("ip", "link", "set", name, "up")


def plug_container(subnet: int, number: int, host: str) -> Path:
    """Make the host's namespace with ``eth0`` in it, on the bridge; return the namespace's file."""
    space, outer = namespace(subnet, host), device(subnet, number)
    file = Path("/run/netns") / space
    if not file.exists() or attempt("ip", "-n", space, "link", "show", "eth0").returncode != 0:
        unplug_container(subnet, number, host)
        run("ip", "netns", "add", space)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", space)
    inner = f"{address(subnet, number)}/{_PREFIX}"
    run("ip", "link", "set", outer, "master", bridge(subnet), "up")
    run("ip", "-n", space, "address", "replace", inner, "dev", "eth0")
    run("ip", "-n", space, "link", "set", "eth0", "up")
    run("ip", "-n", space, "link", "set", "lo", "up")
    return file


def unplug_container(subnet: int, number: int, host: str) -> None:
    """Remove the host's namespace and devices; absent is fine."""
    _delete(device(subnet, number))
    attempt("ip", "netns", "delete", namespace(subnet, host))


def plug_machine(subnet: int, number: int) -> str:
    """Make a tap on the bridge for a virtual machine; return its name."""
    name = device(subnet, number)
    if not _exists(name):
        run("ip", "tuntap", "add", "dev", name, "mode", "tap")
    run("ip", "link", "set", name, "master", bridge(subnet), "up")
    return name


def unplug_machine(subnet: int, number: int) -> None:
    """Remove the tap; absent is fine."""
    _delete(device(subnet, number))


def cable(subnet: int, number: int, *, connected: bool) -> None:
    """Pull or plug the host's cable, and leave the host as it is."""
    run("ip", "link", "set", device(subnet, number), "up" if connected else "down")


def down(subnet: int) -> None:
    """Remove the bridge and whatever of the lab is left beside it."""
    for link in _links():
        if link.startswith(f"wl{subnet}h"):
            _delete(link)
    for line in attempt("ip", "netns", "list").stdout.splitlines():
        if line.startswith(f"wlab{subnet}-"):
            attempt("ip", "netns", "delete", line.split()[0])
    _delete(bridge(subnet))
    if _exists(bridge(subnet)):
        raise LabError(f"the bridge {bridge(subnet)} can't be removed: ip link show")


def _links() -> list[str]:
    return [entry["ifname"] for entry in json.loads(run("ip", "-json", "link", "show"))]


def _exists(name: str) -> bool:
    return (Path("/sys/class/net") / name).exists()


def _delete(name: str) -> None:
    if _exists(name):
        attempt("ip", "link", "delete", name)
