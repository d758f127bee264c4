"""
A plan's steps, done: the one module that changes a host. Called by :mod:`converge`, under the lock.

Phases run in the order of :data:`~.steps.PHASES`; all steps of a phase are one batch: one ledger
write, one ``systemd-sysusers``, one sync of the file system, one turn with systemd. A step that
fails is a result, and skips what follows with the same key; other keys go on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Optional, TypeVar, Union

from . import names, users
from .dbus import DBusDisconnected, DBusError, DBusTimeout
from .files import FileError, NewFile, Tree
from .ledger import LedgerFile
from .marshal import DBusProtocolError
from .model import Ledger, LedgerEntry, Retry, StepResult
from .operations import Installer
from .reasons import Reason
from .steps import (
    PHASES,
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
    target_of,
)
from .systemd import JobResult, Systemd, UnitState
from .volatile import Volatile

START_WAIT_SECONDS = 5.0
"""``Type=exec`` starts end in milliseconds; who needs longer is seen by its signals."""
SYSTEMD_ERRORS = (DBusDisconnected, DBusTimeout, DBusProtocolError)
_TEMPORARY = re.compile(r"\.(.+\.conf|.+\.env|.+\.app|.+@\.service)\.[0-9a-f]{12}\.tmp")
"""Of :mod:`files`, for the kinds of files that passes write."""
_ERRNO_REASONS: dict[int, Reason] = {
    errno.ENOSPC: "DiskFull",
    errno.EDQUOT: "DiskFull",
    errno.EROFS: "ReadOnlyFileSystem",
}


_FIRST_NAMES = 1000
"""Looked at in an instance's directory: enough for what is ours there, few enough for a look."""


class Interrupted(Exception):
    """The agent was told to end; what was done stands, and the next pass goes on from there."""


@dataclass(frozen=True)
class Hands:
    """All that a pass touches the host with. root: put before every path, for tests."""

    systemd: Systemd
    ledger: LedgerFile
    volatile: Volatile
    installer: Installer
    users: users.Users
    root: str = ""
    start_wait_seconds: float = START_WAIT_SECONDS


@dataclass(frozen=True)
class Failure:
    """Why a step failed. reason: for the condition."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Success:
    """A step that is done, with something to say about it."""

    message: str


Outcome = Union[None, Failure, Success]
_S = TypeVar("_S", bound=Step)


def apply(
    steps: Sequence[Step], ledger: Ledger, hands: Hands, stop: threading.Event
) -> tuple[StepResult, ...]:
    """
    Do *steps*; give a result each, in the order done.

    Args:
        steps: a plan's, already guarded.
        ledger: as the accepted frame leaves it; written before anything else is touched.
        hands: what to do it with.
        stop: when set, no further phase is begun.

    Raises:
        Interrupted: *stop* was set.
        OSError: the ledger could not take the frame's authority, so nothing was touched.
    """
    return _Pass(ledger, hands, stop).run(steps)


class _Pass:
    """The state of one pass: the ledger as it should be by now, and the keys that have failed."""

    def __init__(self, ledger: Ledger, hands: Hands, stop: threading.Event) -> None:
        self._hands = hands
        self._stop = stop
        self._tree = Tree(hands.root or "/")
        self._before = self._ledger = ledger
        self._failed: set[str] = set()
        self._all_failed = False
        self._results: list[StepResult] = []

    def run(self, steps: Sequence[Step]) -> tuple[StepResult, ...]:
        # Without the frame's authority on the disk nothing is touched.
        self._hands.ledger.write(self._ledger)
        for phase in PHASES:
            batch = [step for step in steps if type(step) is phase]
            if batch:
                if self._stop.is_set():
                    raise Interrupted("the agent is ending")
                self._batch(batch, _EFFECTS[phase])
        return tuple(self._results)

    def _batch(self, batch: list[Step], effect: _Effect) -> None:
        ready = [s for s in batch if not self._all_failed and s.key not in self._failed]
        outcomes: Sequence[Outcome] = []
        if ready:
            try:
                outcomes = effect(self, ready)
            except SYSTEMD_ERRORS as error:
                outcomes = [Failure("SystemdUnreachable", str(error))] * len(ready)
            except FileError as error:
                outcomes = [_file_failure(error)] * len(ready)
            except OSError as error:
                outcomes = [_os_failure(error)] * len(ready)
        done = dict(zip(map(id, ready), outcomes))
        for step in batch:
            if id(step) in done:
                self._note(step, done[id(step)])
            else:
                self._results.append(_result(step, "Skipped"))

    def _note(self, step: Step, outcome: Outcome) -> None:
        if isinstance(outcome, Failure):
            self._failed.add(step.key)
            # Without the reload systemd knows nothing of what was written: nobody is started.
            self._all_failed |= isinstance(step, Reload)
            self._results.append(_result(step, "Failed", outcome.reason, outcome.message))
        else:
            message = outcome.message if isinstance(outcome, Success) else ""
            self._results.append(_result(step, "Done", "", message))

    # --- the ledger -------------------------------------------------------------

    def enter(self, steps: Sequence[Claim | Record]) -> list[Outcome]:
        before = self._ledger
        new = {step.key: step.entry for step in steps}
        self._ledger = _with_entries(before, new)
        return self._write(before, len(steps))

    def forget(self, steps: Sequence[Forget]) -> list[Outcome]:
        before = self._ledger
        gone = {step.key for step in steps}
        left = tuple(entry for entry in before.instances if entry.key not in gone)
        self._ledger = replace(before, instances=left)
        return self._write(before, len(steps))

    def _write(self, before: Ledger, count: int) -> list[Outcome]:
        try:
            self._hands.ledger.write(self._ledger)
        except OSError as error:
            self._ledger = before
            return [_os_failure(error)] * count
        return [None] * count

    # --- back-off ---------------------------------------------------------------

    def set_retries(self, steps: Sequence[SetRetry]) -> list[Outcome]:
        known = {retry.name: retry for retry in self._hands.volatile.retries()}
        for step in steps:
            known[step.name] = Retry(step.name, step.attempts, step.next_at_seconds)
        self._hands.volatile.write_retries(tuple(known.values()))
        return [None] * len(steps)

    def clear_retries(self, steps: Sequence[ClearRetry]) -> list[Outcome]:
        gone = {step.name for step in steps}
        left = tuple(r for r in self._hands.volatile.retries() if r.name not in gone)
        self._hands.volatile.write_retries(left)
        return [None] * len(steps)

    # --- users and files --------------------------------------------------------

    def ensure_users(self, steps: Sequence[EnsureUser]) -> list[Outcome]:
        wanted = [users.NewUser(step.user, step.home) for step in steps]
        try:
            self._hands.users.create(wanted)
        except users.UserError as error:
            there = self._hands.users.find(user.name for user in wanted)
            failure = Failure("UserFailed", str(error))
            return [None if step.user in there else failure for step in steps]
        return [None] * len(steps)

    def ensure_directories(self, steps: Sequence[EnsureDirectory]) -> list[Outcome]:
        # The owner comes last: it is what the planner looks at, so a directory that was left
        # without its marker is made again. All markers are synced at once.
        there = self._hands.users.find(step.user for step in steps)
        begun = [
            self._each(self._begin_directory, step)
            if step.user in there
            else Failure("UserFailed", f"there is no user {step.user}")
            for step in steps
        ]
        marked = self._write_markers([s for s, failure in zip(steps, begun) if failure is None])

        def give(step: EnsureDirectory) -> None:
            user = there[step.user]
            self._tree.make_directory(step.path, step.mode, user.uid, user.gid, trusted=step.root)

        return [
            failure or marked.get(step.path) or self._each(give, step)
            for step, failure in zip(steps, begun)
        ]

    def _begin_directory(self, step: EnsureDirectory) -> Optional[Failure]:
        occupied = self._occupied(step)
        if occupied:
            return Failure("PathOccupied", occupied)
        if self._tree.signature(step.path, trusted=step.root) is None:
            self._tree.make_directory(step.path, 0o700, 0, 0, trusted=step.root)
        marker = f"{step.path}/{names.MARKER_FILE}"
        if self._tree.signature(marker, trusted=step.root) is None:
            # Of an agent that was killed before it could rename it; or a directory of that name,
            # of the instance's own making, which must not keep its own from being put right.
            for name in filter(_is_unnamed_marker, self._first_names(step)):
                with contextlib.suppress(FileError):
                    self._tree.remove(f"{step.path}/{name}", trusted=step.root)
        return None

    def _first_names(self, step: EnsureDirectory) -> list[str]:
        """What is in the directory; not all of it where its user has put millions there."""
        return self._tree.some_names(step.path, _FIRST_NAMES, trusted=step.root)

    def _write_markers(self, steps: Sequence[EnsureDirectory]) -> dict[str, Failure]:
        """Write those that are missing; give what failed, by the directory's path."""
        failures: dict[str, Failure] = {}
        for root in sorted({step.root for step in steps}):
            new: dict[str, NewFile] = {}
            for step in steps:
                marker = f"{step.path}/{names.MARKER_FILE}"
                try:
                    if step.root == root and self._tree.signature(marker, trusted=root) is None:
                        new[step.path] = NewFile(marker, f"{step.marker}\n".encode(), 0o644)
                except FileError as error:
                    failures[step.path] = _file_failure(error)
            unwritten = self._tree.write_many(tuple(new.values()), trusted=root)
            failures.update((p, _file_failure(e)) for p, e in zip(new, unwritten) if e is not None)
        return failures

    def _occupied(self, step: EnsureDirectory) -> str:
        """Say what is in the way; looked at again here, since the plan's look may be old."""
        there = self._tree.signature(step.path, trusted=step.root)
        if there is None:
            return ""
        if there.kind != "Directory":
            return f"{step.path} is a {there.kind.lower()}, not a directory"
        # Not what this pass has claimed: that it is ours has to have been seen once.
        entry = self._before.by_key.get(step.key)
        if entry is not None and entry.path == step.path and entry.generation:
            return ""
        if all(map(_is_unnamed_marker, self._first_names(step))):
            return ""
        marker = f"{step.path}/{names.MARKER_FILE}"
        try:
            first = self._tree.read(marker, 4096, trusted=step.root).split(b"\n")[0]
        except FileError:
            first = b""
        if first == step.marker.encode():
            return ""
        return f"{step.path} is not empty and holds no instance of ours"

    def write_files(self, steps: Sequence[WriteFile]) -> list[Outcome]:
        self._before_unit_files(any(step.unit_file for step in steps))
        self._make_parents(step.path for step in steps)
        new = [NewFile(s.path, s.content.encode("utf-8"), s.mode, 0, 0) for s in steps]
        errors = self._tree.write_many(new)
        return [None if error is None else _file_failure(error) for error in errors]

    def make_links(self, steps: Sequence[MakeLink]) -> list[Outcome]:
        self._before_unit_files(True)
        self._make_parents(step.path for step in steps)
        return [self._each(self._make_link, step) for step in steps]

    def _make_link(self, step: MakeLink) -> None:
        self._tree.link(step.path, step.target)

    def remove_files(self, steps: Sequence[RemoveFile]) -> list[Outcome]:
        self._before_unit_files(any(step.unit_file for step in steps))
        return [self._each(self._remove_file, step) for step in steps]

    def _remove_file(self, step: RemoveFile) -> None:
        self._tree.remove(step.path)

    def remove_directories(self, steps: Sequence[RemoveDirectory]) -> list[Outcome]:
        return [self._each(self._remove_directory, step) for step in steps]

    def _remove_directory(self, step: RemoveDirectory) -> Optional[Success]:
        self._sweep(step.path)
        if self._tree.remove_directory(step.path):
            return None
        return Success("it holds something that is not ours, and stays")

    def _before_unit_files(self, unit_files: bool) -> None:
        """Note that a reload is due before the first byte: a kill in between must not hide it."""
        if unit_files:
            self._hands.volatile.set_reload_pending()

    def _make_parents(self, paths: Iterable[str]) -> None:
        for directory in sorted({path.rpartition("/")[0] for path in paths}):
            mode = 0o700 if directory == names.ENV_DIR else 0o755
            os.makedirs(self._hands.root + directory, mode, exist_ok=True)
            self._sweep(directory)

    def _sweep(self, directory: str) -> None:
        """Remove what a killed pass was writing; under the lock nobody else writes there."""
        with (
            contextlib.suppress(FileNotFoundError),
            os.scandir(self._hands.root + directory) as all_,
        ):
            left = [entry.path for entry in all_ if _TEMPORARY.fullmatch(entry.name)]
            for path in left:
                os.unlink(path)

    @staticmethod
    def _each(effect: Callable[[_S], Outcome], step: _S) -> Outcome:
        try:
            return effect(step)
        except FileError as error:
            return _file_failure(error)

    # --- systemd ----------------------------------------------------------------

    def start_installs(self, steps: Sequence[StartInstall]) -> list[Outcome]:
        return [self._start_install(step) for step in steps]

    def _start_install(self, step: StartInstall) -> Optional[Failure]:
        try:
            self._hands.installer.start(self._hands.systemd, step)
        except (DBusError, OSError) as error:
            return Failure("InstallFailed", f"the install could not be started: {error}")
        return None

    def reload(self, steps: Sequence[Reload]) -> list[Outcome]:
        try:
            self._hands.systemd.daemon_reload()
        except DBusError as error:
            return [Failure("ReloadFailed", str(error))] * len(steps)
        self._hands.volatile.clear_reload_pending()
        return [None] * len(steps)

    def reset_failed(self, steps: Sequence[ResetFailed]) -> list[Outcome]:
        errors = self._hands.systemd.reset_failed(step.unit for step in steps)
        return [
            Failure("ResetFailed", errors[step.unit]) if step.unit in errors else None
            for step in steps
        ]

    def stop(self, steps: Sequence[StopUnit]) -> list[Outcome]:
        results = self._hands.systemd.stop((step.unit for step in steps), 0)
        return [_asked("StopFailed", results[step.unit]) for step in steps]

    def restart(self, steps: Sequence[RestartUnit]) -> list[Outcome]:
        # A stop may take as long as the Game allows; its end is seen by its signals.
        results = self._hands.systemd.restart((step.unit for step in steps), 0)
        return [_asked("RestartFailed", results[step.unit]) for step in steps]

    def start(self, steps: Sequence[StartUnit]) -> list[Outcome]:
        wait_seconds = self._hands.start_wait_seconds
        results = self._hands.systemd.start((step.unit for step in steps), wait_seconds)
        bad = [unit for unit, job in results.items() if job.result not in ("done", "pending")]
        states = self._hands.systemd.states(bad)
        return [self._started(results[step.unit], states.get(step.unit)) for step in steps]

    def _started(self, job: JobResult, state: Optional[UnitState]) -> Outcome:
        if job.done:
            return None
        if job.result == "pending":
            waited = f"{self._hands.start_wait_seconds:g} s"
            return Success(f"it was still starting after {waited}")
        if job.result == "error" or state is None:
            return Failure("StartFailed", f"systemd refused: {job.message or job.result}")
        why = f"the job ended as {job.result}, the unit's result is {state.result}"
        if state.exit_code:
            why += f" ({state.exit_code}, status {state.exec_main_status})"
        return Failure("StartFailed", why)


_Effect = Callable[[_Pass, Any], Sequence[Outcome]]

_EFFECTS: dict[type, _Effect] = {
    Claim: _Pass.enter,
    SetRetry: _Pass.set_retries,
    ClearRetry: _Pass.clear_retries,
    StopUnit: _Pass.stop,
    EnsureUser: _Pass.ensure_users,
    EnsureDirectory: _Pass.ensure_directories,
    StartInstall: _Pass.start_installs,
    WriteFile: _Pass.write_files,
    MakeLink: _Pass.make_links,
    RemoveFile: _Pass.remove_files,
    RemoveDirectory: _Pass.remove_directories,
    Reload: _Pass.reload,
    ResetFailed: _Pass.reset_failed,
    StartUnit: _Pass.start,
    RestartUnit: _Pass.restart,
    Record: _Pass.enter,
    Forget: _Pass.forget,
}


def _is_unnamed_marker(name: str) -> bool:
    """Whether it is a marker that was written, and not renamed to what it is."""
    return name.startswith(f".{names.MARKER_FILE}.") and name.endswith(".tmp")


def _with_entries(ledger: Ledger, new: dict[str, LedgerEntry]) -> Ledger:
    entries = {**ledger.by_key, **new}
    return replace(ledger, instances=tuple(entries[key] for key in sorted(entries)))


def _asked(reason: Reason, job: JobResult) -> Optional[Failure]:
    """What came of a job whose end is not awaited."""
    if job.result in ("done", "pending"):
        return None
    return Failure(reason, f"systemd: {job.message or job.result}")


def _file_failure(error: FileError) -> Failure:
    return Failure(reason_of(error.errno, "FileFailed"), str(error))


def _os_failure(error: OSError) -> Failure:
    return Failure(reason_of(error.errno, "FileFailed"), str(error))


def reason_of(number: Optional[int], otherwise: Reason) -> Reason:
    """Give the reason of an error of the system; *otherwise* where it has none of its own."""
    return _ERRNO_REASONS.get(number or 0, otherwise)


def _result(
    step: Step, outcome: str, reason: Literal[Reason, ""] = "", message: str = ""
) -> StepResult:
    return StepResult(
        type(step).__name__,
        target_of(step),
        step.key,
        outcome,
        reason,
        message,
        getattr(step, "found", ""),
    )
