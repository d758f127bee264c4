"""
The last look at a plan before anything is done: who asked for what it takes away? Pure.

A second opinion on the planner, written apart from it: however wrong a plan is, a pass only

==========================================  ===============================================
claims, makes, writes, starts, restarts     for an instance of ``converge``
stops a unit                                for one of ``remove``, or of ``converge`` that
                                            should not run, or whose Game has not that service
removes a file                              that the instance's ledger entry lists and that
                                            lies where our files lie; the template of a
                                            service that no other entry has
removes a directory                         for one of ``remove``; the drop-ins' of a service
                                            that the Game of one of ``converge`` has not
forgets                                     for one of ``remove``
==========================================  ===============================================

and nothing at all for what ``keep`` names. Called by :mod:`converge`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Optional

from . import names
from .model import DesiredHost, Ledger, RemovedInstance
from .steps import (
    ClearRetry,
    Forget,
    Reload,
    RemoveDirectory,
    RemoveFile,
    ResetFailed,
    SetRetry,
    StartInstall,
    Step,
    StopUnit,
    target_of,
)

FILE_PLACES = (names.UNIT_DIR + "/", names.ENV_DIR + "/", names.STATE_DIR + "/")
FORBIDDEN_PLACES = (names.LEDGER_DIR + "/", names.AGENT_DIR + "/")


def violation(steps: tuple[Step, ...], desired: DesiredHost, ledger: Ledger) -> Optional[str]:
    """Name the first step that nobody asked for; None when there is none."""
    judge = _Judge(desired, ledger)
    for step in steps:
        if not judge.allows(step):
            asked = "no list of this frame asks for it"
            return f"{type(step).__name__} of {target_of(step)} for {step.key}: {asked}"
    return None


class _Judge:
    def __init__(self, desired: DesiredHost, ledger: Ledger) -> None:
        kept = {one.key for one in desired.keep}
        self._entries = ledger.by_key
        self._remove = {one.key for one in desired.remove if self._is_its_own(one)} - kept
        self._converge = {one.key for one in desired.converge} - kept - self._remove
        self._halted = {one.key for one in desired.converge if not one.running} & self._converge
        self._games = {game.guid for game in desired.games}
        services = {game.guid: {s.name for s in game.services} for game in desired.games}
        self._dropped = {
            key: [s for s in entry.services if s not in services[entry.guid]]
            for key, entry in self._entries.items()
            if key in self._converge and entry.guid in services
        }

    def allows(self, step: Step) -> bool:
        key = step.key
        if isinstance(step, Forget):
            return key in self._remove
        if isinstance(step, RemoveDirectory):
            return key in self._remove or step.path in self._of_dropped(key, names.drop_in_dir)
        if isinstance(step, StopUnit):
            asked = key in self._remove or key in self._halted
            return asked or step.unit in self._of_dropped(key, names.unit_name)
        if isinstance(step, RemoveFile):
            return self._may_remove(key, step.path)
        if isinstance(step, Reload):
            return True
        if isinstance(step, StartInstall):
            return key in self._games
        if isinstance(step, (SetRetry, ClearRetry)):
            return key in self._games or key in self._converge or key in self._remove
        if isinstance(step, ResetFailed):
            return key in self._converge or key in self._remove
        return key in self._converge

    def _is_its_own(self, removed: RemovedInstance) -> bool:
        entry = self._entries.get(removed.key)
        return entry is not None and (
            entry.uid == removed.uid
            or (entry.namespace, entry.name) == (removed.namespace, removed.name)
        )

    def _may_remove(self, key: str, path: str) -> bool:
        entry = self._entries.get(key)
        if entry is None or not (key in self._remove or key in self._converge):
            return False
        if not path.startswith(FILE_PLACES) or path.startswith(FORBIDDEN_PLACES):
            return False
        for service in entry.services:
            if path == names.template_path(service):
                goes = key in self._remove or service in self._dropped.get(key, ())
                return goes and not self._used_by_another(service)
        return any(path == file.path for file in entry.files)

    def _used_by_another(self, service: str) -> bool:
        return any(
            service in entry.services and service not in self._dropped.get(key, ())
            for key, entry in self._entries.items()
            if key not in self._remove
        )

    def _of_dropped(self, key: str, name: Callable[[str, str], str]) -> set[str]:
        """Give what *name* makes of each service that the instance's Game has no more."""
        entry = self._entries.get(key)
        services = self._dropped.get(key, ())
        return {name(service, entry.instance_id) for service in services} if entry else set()
