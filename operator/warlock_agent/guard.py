"""
The last look at a plan before anything is done: who asked for what it takes away? Pure.

A second opinion on the planner, written apart from it: however wrong a plan is, a pass only

==========================================  ===============================================
claims, makes, writes, starts, restarts     for an instance of ``converge``
stops a unit                                for one of ``remove``, or of ``converge`` that
                                            should not run
removes a file                              that the instance's ledger entry lists and that
                                            lies where our files lie; the template of a
                                            service that no other entry has
removes a directory, forgets                for one of ``remove``
==========================================  ===============================================

and nothing at all for what ``keep`` names. Called by :mod:`converge`.
"""

from __future__ import annotations

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

    def allows(self, step: Step) -> bool:
        key = step.key
        if isinstance(step, (Forget, RemoveDirectory)):
            return key in self._remove
        if isinstance(step, StopUnit):
            return key in self._remove or key in self._halted
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
                return key in self._remove and not self._used_by_another(service)
        return any(path == file.path for file in entry.files)

    def _used_by_another(self, service: str) -> bool:
        staying = (entry for key, entry in self._entries.items() if key not in self._remove)
        return any(service in entry.services for entry in staying)
