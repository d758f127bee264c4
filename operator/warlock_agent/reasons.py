"""
The reasons that an agent can give. Each goes unchanged into a condition, an event and a log line.

They are names of the operator's errors, which can't be imported here: the type checker holds every
use to this list, and a test the list to the errors.
"""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    # a whole pass or connection
    "AgentFailed",
    "HostBusy",
    "LedgerUnreadable",
    "SystemdUnreachable",
    # who may write: authority.py
    "DuplicateHost",
    "HostReplaced",
    "OwnedByAnother",
    "StaleLeader",
    # an instance that is left as it is: refuse.py, plan.py
    "GameNotFound",
    "HeldByAnother",
    "PathMoved",
    "PathOccupied",
    "PathOutsideRoots",
    "PathTaken",
    "PortInUse",
    "PortTaken",
    "UnitNameTaken",
    "UnitTaken",
    # a step: apply.py
    "DiskFull",
    "FileFailed",
    "InstallFailed",
    "ReadOnlyFileSystem",
    "ReloadFailed",
    "ResetFailed",
    "RestartFailed",
    "StartFailed",
    "StepFailed",
    "StopFailed",
    "UserFailed",
]

Misspoken = Literal["BadFrame", "PortNotHeld", "TooManyExchanges", "UnknownRequest"]
"""A frame that no operator of ours sends, or one query too many; never in a condition."""
