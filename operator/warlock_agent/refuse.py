"""
Why an instance may not be touched, although somebody asked for it. Pure; called by the planner.

========================================  ====================  =========================
what is on the host                       reason                heals when
========================================  ====================  =========================
the ledger has it for another object      HeldByAnother         that object is deleted
its directory is not under a root         PathOutsideRoots      the GameHost's roots change
the ledger has it at another path         PathMoved             it is deleted and made anew
another instance has path, unit or port   PathTaken, UnitTaken, that one goes
                                          PortTaken
something that is not ours lies there     PathOccupied          it is moved away
a unit file of that name is not ours      UnitNameTaken         it is removed
a foreign process has the port            PortInUse             it ends
========================================  ====================  =========================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Optional

from . import names
from .model import (
    BoundSocket,
    DesiredGame,
    DesiredInstance,
    LedgerEntry,
    ObservedFile,
    ObservedUnit,
    Refusal,
)
from .nesting import Directories
from .reasons import Reason


def under_root(path: str, roots: Iterable[str]) -> bool:
    """Say whether *path* is absolute, normal, and lies beneath one of *roots*."""
    parts = path.split("/")
    if not path.startswith("/") or any(part in ("", ".", "..") for part in parts[1:]):
        return False
    return any(path.startswith(root.rstrip("/") + "/") for root in roots)


def root_of(path: str, roots: Iterable[str]) -> Optional[str]:
    """Give the innermost of *roots* that *path* lies beneath."""
    above = (root for root in roots if path.startswith(root.rstrip("/") + "/"))
    return max(above, key=len, default=None)


class Holdings:
    """Who has which path, unit and port: first what the ledger says, then what is claimed."""

    def __init__(self, entries: Iterable[LedgerEntry]) -> None:
        """entries: the ledger's."""
        self._directories = Directories()
        self._units: dict[str, str] = {}
        self._ports: dict[tuple[str, int], str] = {}
        for entry in sorted(entries, key=lambda e: e.key):
            self._directories.take(entry.path, entry.key)
            for service in entry.services:
                self._units.setdefault(names.unit_name(service, entry.instance_id), entry.key)
            for port in entry.ports:
                self._ports.setdefault((port.protocol, port.number), entry.key)

    def claim(self, instance: DesiredInstance, game: DesiredGame) -> Optional[Refusal]:
        """Take everything that *instance* wants, or say who has it and take nothing."""
        key = instance.key
        holder = self._directories.in_the_way(instance.path, key)
        if holder:
            return _taken(key, "PathTaken", f"path {instance.path}", holder)
        units = [names.unit_name(s.name, instance.instance_id) for s in game.services]
        for unit in units:
            if self._units.get(unit, key) != key:
                return _taken(key, "UnitTaken", f"unit {unit}", self._units[unit])
        for port in instance.ports:
            slot = (port.protocol, port.number)
            if self._ports.get(slot, key) != key:
                what = f"port {port.number}/{port.protocol} ({port.name})"
                return _taken(key, "PortTaken", what, self._ports[slot])
        self._directories.take(instance.path, key)
        self._units.update((unit, key) for unit in units)
        self._ports.update(((port.protocol, port.number), key) for port in instance.ports)
        return None


def _taken(key: str, reason: Reason, what: str, holder: str) -> Refusal:
    return Refusal(key, reason, f"{what} is held by instance {holder} on this host")


def refusal_of(
    instance: DesiredInstance,
    game: DesiredGame,
    entry: Optional[LedgerEntry],
    roots: Sequence[str],
    files: Mapping[str, ObservedFile],
) -> Optional[Refusal]:
    """Check what the ledger and the file system say; None when nothing stands against it."""
    key = instance.key
    if entry is not None:
        if (entry.namespace, entry.name) != (instance.namespace, instance.name):
            return Refusal(
                key,
                "HeldByAnother",
                f"this host runs it for GameInstance {entry.namespace}/{entry.name}; "
                "delete that one first, or give this one another instance_id",
            )
        if entry.path != instance.path:
            return Refusal(
                key,
                "PathMoved",
                f"its files lie at {entry.path} on this host, not at {instance.path}; delete the "
                f"GameInstance and create it anew, with that spec.path to keep its files",
            )
    if not under_root(instance.path, roots):
        return Refusal(
            key,
            "PathOutsideRoots",
            f"path {instance.path} is not under one of the host's roots: {', '.join(roots)}",
        )
    return _directory_refusal(instance, entry, files) or _unit_refusal(instance, game, files)


def _directory_refusal(
    instance: DesiredInstance, entry: Optional[LedgerEntry], files: Mapping[str, ObservedFile]
) -> Optional[Refusal]:
    there = files.get(instance.path)
    if there is None:
        return None
    if there.kind == "Other":
        what = f"{instance.path} is no directory, or a link is on the way to it"
    elif there.kind != "Directory":
        what = f"{instance.path} is a {there.kind.lower()}, not a directory"
    elif (
        entry is None
        and not there.empty
        and there.marker != names.marker_text(instance.guid, instance.instance_id)
    ):
        what = f"{instance.path} is not empty and holds no instance of ours"
    else:
        return None
    return Refusal(instance.key, "PathOccupied", f"{what}; move it away or choose another path")


def _unit_refusal(
    instance: DesiredInstance, game: DesiredGame, files: Mapping[str, ObservedFile]
) -> Optional[Refusal]:
    for service in game.services:
        template = files.get(names.template_path(service.name))
        foreign = [p for p in names.foreign_template_paths(service.name) if p in files]
        if template is not None and not template.ours:
            foreign.insert(0, template.path)
        shadow = names.shadow_path(service.name, instance.instance_id)
        if shadow in files:
            foreign.insert(0, shadow)
        if foreign:
            return Refusal(
                instance.key,
                "UnitNameTaken",
                f"{foreign[0]} is not ours and would be mixed with ours; "
                "remove it, or name the Game's service otherwise",
            )
    return None


def port_refusal(
    instance: DesiredInstance,
    own_units: Mapping[str, ObservedUnit],
    sockets: Mapping[tuple[str, int], Sequence[BoundSocket]],
) -> Optional[Refusal]:
    """Say which foreign process has one of the instance's ports, if one has."""
    own_ports = {slot for unit in own_units.values() for slot in unit.ports}
    for port in instance.ports:
        slot = (port.protocol, port.number)
        if slot in own_ports:
            continue
        for socket in sockets.get(slot, ()):
            if socket.unit not in own_units:
                who = f"{socket.process or 'a process'} (pid {socket.pid or 'unknown'})"
                where = f" of {socket.unit}" if socket.unit else ""
                return Refusal(
                    instance.key,
                    "PortInUse",
                    f"port {port.number}/{port.protocol} ({port.name}) is bound by {who}{where}; "
                    "end it, or choose another port",
                )
    return None
