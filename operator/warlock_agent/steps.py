"""
The steps of a plan: what :mod:`plan` decides, :mod:`apply` does and :mod:`simulate` plays.

A step carries the key of the instance (or the guid of the Game) that it serves. When one fails,
what follows with the same key is skipped, and every other key goes on. Phases run in the order
of :data:`PHASES`; within a phase the steps of different keys do not depend on each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from .model import LedgerEntry


@dataclass(frozen=True)
class Claim:
    """Write the entry to the ledger before anything else of the instance is touched."""

    key: str
    entry: LedgerEntry


@dataclass(frozen=True)
class SetRetry:
    """Note when *name* (a unit or an operation) may be tried again: boot clock, seconds."""

    key: str
    name: str
    attempts: int
    next_at_seconds: int


@dataclass(frozen=True)
class ClearRetry:
    """Forget the back-off of *name*."""

    key: str
    name: str


@dataclass(frozen=True)
class StopUnit:
    """Ask systemd to stop the unit; does not wait for the end of it."""

    key: str
    unit: str


@dataclass(frozen=True)
class EnsureUser:
    """Make the system user (and group) with that home, no shell; one call for all."""

    key: str
    user: str
    home: str


@dataclass(frozen=True)
class EnsureDirectory:
    """
    Make the instance's directory beneath *root*, following no link; set owner and mode.

    marker: first line of its marker file; an existing directory must be empty or carry it.
    """

    key: str
    path: str
    root: str
    user: str
    mode: int
    marker: str


@dataclass(frozen=True)
class StartInstall:
    """Start the transient unit that installs a Game's packages. key: the Game's guid."""

    key: str
    operation: str
    apt: tuple[str, ...]
    mask: tuple[str, ...]


@dataclass(frozen=True)
class WriteFile:
    """
    Replace a managed file atomically; root's. found: what a person left there, else empty.

    unit_file: systemd must re-read its files before it counts.
    """

    key: str
    path: str
    content: str
    mode: int
    unit_file: bool
    found: str = ""


@dataclass(frozen=True)
class MakeLink:
    """Make or replace the symbolic link at *path*; always a unit file."""

    key: str
    path: str
    target: str
    found: str = ""


@dataclass(frozen=True)
class RemoveFile:
    """Remove a managed file or link; absent is fine."""

    key: str
    path: str
    unit_file: bool


@dataclass(frozen=True)
class RemoveDirectory:
    """Remove a drop-in directory if it is empty."""

    key: str
    path: str


@dataclass(frozen=True)
class Reload:
    """Have systemd read its unit files; at most one in a plan."""

    key: str = ""


@dataclass(frozen=True)
class ResetFailed:
    """Clear the failed state, or the start limit refuses the next start."""

    key: str
    unit: str


@dataclass(frozen=True)
class StartUnit:
    """Start the unit. found: why it had to be, when somebody stopped it by hand, else empty."""

    key: str
    unit: str
    found: str = ""


@dataclass(frozen=True)
class RestartUnit:
    """Restart the unit: its process is not the desired one."""

    key: str
    unit: str


@dataclass(frozen=True)
class Record:
    """Write the entry to the ledger: all of it has been applied."""

    key: str
    entry: LedgerEntry


@dataclass(frozen=True)
class Forget:
    """Take the instance out of the ledger; its claims are free from here on."""

    key: str


Step = Union[
    Claim,
    SetRetry,
    ClearRetry,
    StopUnit,
    EnsureUser,
    EnsureDirectory,
    StartInstall,
    WriteFile,
    MakeLink,
    RemoveFile,
    RemoveDirectory,
    Reload,
    ResetFailed,
    StartUnit,
    RestartUnit,
    Record,
    Forget,
]

PHASES: tuple[type, ...] = (
    Claim,
    StartInstall,  # before its back-off: killed in between, it would be awaited and not run
    SetRetry,
    ClearRetry,
    StopUnit,
    EnsureUser,
    EnsureDirectory,
    WriteFile,
    MakeLink,
    RemoveFile,
    RemoveDirectory,
    Reload,
    ResetFailed,
    StartUnit,
    RestartUnit,
    Record,
    Forget,
)
"""Order of execution. A batch is all steps of one phase: one ledger write, one call to systemd."""


def target_of(step: Step) -> str:
    """Say what a step is about: a path, a unit, a user, an operation or the instance's key."""
    for name in ("path", "unit", "user", "operation", "name"):
        value = getattr(step, name, None)
        if isinstance(value, str):
            return value
    return step.key
