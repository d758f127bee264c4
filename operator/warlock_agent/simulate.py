"""
What a host looks like after a plan. Pure: the planner's oracle, the engine of fixture hosts.

It plays what a healthy machine does: every step succeeds, a start leads to a running process that
has the environment of its file and binds its ports at once, a stop ends at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Callable

from . import names
from .model import (
    BoundSocket,
    LedgerEntry,
    ObservedFile,
    ObservedHost,
    ObservedPackage,
    ObservedUnit,
    Operation,
    Retry,
)
from .render import DIGEST_VARIABLE, text_digest
from .steps import (
    Claim,
    ClearRetry,
    EnsureDirectory,
    EnsureUser,
    Forget,
    MakeLink,
    Record,
    Reload,
    RemoveDirectory,
    RemoveFile,
    ResetFailed,
    RestartUnit,
    SetRetry,
    StartInstall,
    StartUnit,
    Step,
    StopUnit,
    WriteFile,
)

_DIGEST = re.compile(rf'^{DIGEST_VARIABLE}="([0-9a-f]+)"$', re.MULTILINE)


def simulate(observed: ObservedHost, steps: Iterable[Step]) -> ObservedHost:
    """Give the host after *steps*, taken in the order given."""
    host = _Host(observed)
    for step in steps:
        host.take(step)
    return host.seen()


def finish_operations(observed: ObservedHost, steps: Iterable[Step] = ()) -> ObservedHost:
    """Let every running install succeed: *steps* are those that started them."""
    packages = {p.name: p for p in observed.packages}
    for step in steps:
        if isinstance(step, StartInstall):
            packages.update((name, ObservedPackage(name, "1.0")) for name in step.apt)
    done = (
        replace(o, state="Succeeded", progress=100) if o.state == "Running" else o
        for o in observed.operations
    )
    return replace(
        observed, operations=tuple(done), packages=tuple(packages[n] for n in sorted(packages))
    )


class _Host:
    """A host's parts by name, mutable; lives for one call of :func:`simulate`."""

    def __init__(self, observed: ObservedHost) -> None:
        self._before = observed
        self._files = {f.path: f for f in observed.files}
        self._units = {u.unit: u for u in observed.units}
        self._users = set(observed.users)
        self._retries = {r.name: r for r in observed.retries}
        self._operations = {o.id: o for o in observed.operations}
        self._entries = dict(observed.ledger.by_key)
        self._pid = max([1000, *(u.main_pid for u in observed.units)])
        self._reload_pending = observed.reload_pending

    def take(self, step: Step) -> None:
        _EFFECTS[type(step)](self, step)

    def seen(self) -> ObservedHost:
        own = set(self._units)
        foreign = [s for s in self._before.sockets if s.unit not in own]
        sockets = foreign + [
            BoundSocket(protocol, "0.0.0.0", number, unit.main_pid, "game", unit.unit)  # noqa: S104
            for _, unit in sorted(self._units.items())
            for protocol, number in unit.ports
        ]
        return replace(
            self._before,
            files=tuple(self._files[path] for path in sorted(self._files)),
            units=tuple(self._units[unit] for unit in sorted(self._units)),
            users=tuple(sorted(self._users)),
            retries=tuple(self._retries[name] for name in sorted(self._retries)),
            operations=tuple(self._operations[i] for i in sorted(self._operations)),
            sockets=tuple(sockets),
            ledger=replace(
                self._before.ledger,
                instances=tuple(self._entries[key] for key in sorted(self._entries)),
            ),
            reload_pending=self._reload_pending,
        )

    # --- one function a step ----------------------------------------------------

    def enter(self, step: Claim | Record) -> None:
        self._entries[step.key] = step.entry

    def forget(self, step: Forget) -> None:
        del self._entries[step.key]

    def set_retry(self, step: SetRetry) -> None:
        self._retries[step.name] = Retry(step.name, step.attempts, step.next_at_seconds)

    def clear_retry(self, step: ClearRetry) -> None:
        self._retries.pop(step.name, None)

    def ensure_user(self, step: EnsureUser) -> None:
        self._users.add(step.user)

    def ensure_directory(self, step: EnsureDirectory) -> None:
        self._files[step.path] = ObservedFile(
            step.path, "Directory", "", step.mode, step.user, False, step.marker
        )

    def start_install(self, step: StartInstall) -> None:
        self._operations[step.operation] = Operation(step.operation, step.key, "Install", "Running")

    def write(self, step: WriteFile) -> None:
        found = _DIGEST.search(step.content)
        self._put(
            ObservedFile(
                step.path,
                "File",
                text_digest(step.content),
                step.mode,
                marker=found.group(1) if found else "",
                ours=step.content.startswith(names.MARKER),
            ),
            step.unit_file,
        )

    def link(self, step: MakeLink) -> None:
        self._put(ObservedFile(step.path, "Link", step.target, 0o777), True)

    def _put(self, file: ObservedFile, unit_file: bool) -> None:
        directory = file.path.rpartition("/")[0]
        if directory.endswith(".service.d"):
            self._files[directory] = ObservedFile(directory, "Directory", empty=False)
        self._files[file.path] = file
        self._reload_pending |= unit_file

    def remove(self, step: RemoveFile) -> None:
        self._files.pop(step.path, None)
        self._reload_pending |= step.unit_file

    def remove_directory(self, step: RemoveDirectory) -> None:
        self._files.pop(step.path, None)

    def reload(self, step: Reload) -> None:
        self._reload_pending = False

    def reset_failed(self, step: ResetFailed) -> None:
        unit = self._units.get(step.unit)
        if unit is not None and unit.active_state == "failed":
            self._units[step.unit] = ObservedUnit(step.unit)

    def stop(self, step: StopUnit) -> None:
        self._units[step.unit] = ObservedUnit(step.unit)

    def start(self, step: StartUnit | RestartUnit) -> None:
        entry = self._entries[step.key]
        environment = self._files.get(names.env_path(entry.guid, entry.instance_id))
        self._pid += 1
        self._units[step.unit] = ObservedUnit(
            step.unit,
            "active",
            "running",
            self._pid,
            active_uptime_seconds=max(1, self._before.uptime_seconds),
            digest=environment.marker if environment else None,
            ports=self._bound(entry, step.unit),
        )

    def _bound(self, entry: LedgerEntry, unit: str) -> tuple[tuple[str, int], ...]:
        # The main service binds what the instance declares; the others only work beside it.
        main = names.unit_name(entry.services[0], entry.instance_id)
        return tuple((p.protocol, p.number) for p in entry.ports) if unit == main else ()


_EFFECTS: dict[type, Callable[[_Host, Any], None]] = {
    Claim: _Host.enter,
    Record: _Host.enter,
    Forget: _Host.forget,
    SetRetry: _Host.set_retry,
    ClearRetry: _Host.clear_retry,
    EnsureUser: _Host.ensure_user,
    EnsureDirectory: _Host.ensure_directory,
    StartInstall: _Host.start_install,
    WriteFile: _Host.write,
    MakeLink: _Host.link,
    RemoveFile: _Host.remove,
    RemoveDirectory: _Host.remove_directory,
    Reload: _Host.reload,
    ResetFailed: _Host.reset_failed,
    StopUnit: _Host.stop,
    StartUnit: _Host.start,
    RestartUnit: _Host.start,
}
