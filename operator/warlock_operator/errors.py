"""
The error tree: who can heal it? The world, or an edit.

    OperatorError
    ├── TransientError   the world may heal it: tried again, with backoff
    │   ├── reaching a host    HostUnreachable, HostKeyMismatch, AuthenticationFailed, …
    │   ├── working on a host  AgentFailed, HostBusy, InstallFailed, PortInUse, …
    │   └── the apiserver      ApiUnavailable, ApiExpired, Conflict, ObjectGone, ApiRefused
    └── TerminalError    only an edit can heal it: not tried again before one
        ├── the object itself  InvalidObject
        ├── what it names      GameNotFound, HostNotFound, PathOutsideRoots, …
        ├── claims             IdentityTaken, PathTaken, UnitTaken, PortTaken, …
        └── who may write      StaleLeader, OwnedByAnother, DuplicateHost, …

"An edit" is one of any object that the error is about: a claim heals when its holder goes,
``GameNotFound`` when the Game comes. Every such change enqueues the host anyway.

A class name goes unchanged into condition, event, log line and metric label, so renaming one
breaks users' alerts. Foreign exceptions are translated where their dependency is owned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, NewType

Failure = NewType("Failure", str)
"""A reason that stands for a failure. Only an error's name is one, so that there is one list."""


class OperatorError(Exception):
    """``reason`` goes unchanged into condition, event, log line and metric label."""

    reason: ClassVar[Failure] = Failure("OperatorError")

    def __init_subclass__(cls) -> None:
        cls.reason = Failure(cls.__name__)

    def __init__(self, message: str = "") -> None:
        """
        Args:
            message: what was found and what to do about it, for the one who reads the
                condition. Never a secret.
        """
        super().__init__(message)
        self.message = message or self.reason

    def __str__(self) -> str:
        return self.message


class TransientError(OperatorError):
    """The world may heal it: tried again with backoff."""


class TerminalError(OperatorError):
    """Only an edit can heal it: not tried again before one."""


# --- transient: reaching a host -----------------------------------------------------------


class HostUnreachable(TransientError):
    """No SSH connection: no route, refused, timed out, or lost in the middle of a request."""

    def __init__(self, message: str = "", *, silent: bool = False) -> None:
        """
        Args:
            message: as in OperatorError.
            silent: nothing took so much as a TCP connection, so a bare one tells of its return.
        """
        super().__init__(message)
        self.silent = silent


class HostKeyMismatch(TransientError):
    """
    The host showed a key that is not pinned; nothing was sent to it.

    Transient, because the machine may come back with its old key (a wrong cable, a rescue
    system) without any edit of ours.
    """


class HostReplaced(TransientError):
    """
    Another machine answers at the address; nothing is written to it.

    Transient for the reason that HostKeyMismatch is: the right one may come back by itself.
    ``warlock.dev/accept-host`` accepts the other.
    """

    @classmethod
    def by(cls, found: str, expected: Sequence[str]) -> HostReplaced:
        """Make the error from the machine-ids, with what to do."""
        return cls(
            f"the machine at the address is {found}, not {' or '.join(expected)}; nothing is "
            "written to it; if it is the right one, set the annotation warlock.dev/accept-host: "
            f"{found} on the GameHost"
        )


class AuthenticationFailed(TransientError):
    """The host refused user or key; ``authorized_keys`` is put right there, not here."""


class KeySecretMissing(TransientError):
    """The Secret with the SSH key is not in the operator's namespace, or has no usable key."""


class AgentFailed(TransientError):
    """The agent did not start, broke off, or answered what no agent of ours answers."""


class InternalError(TransientError):
    """The operator itself failed at this host, which is a bug of it; its log has the traceback."""


class PythonMissing(TransientError):
    """The host has no ``python3`` where the login's PATH, or sudo's, can find it."""


class PythonTooOld(TransientError):
    """The host's ``python3`` is older than 3.9; the message says what it is."""


class SudoDenied(TransientError):
    """``sudo -n`` was refused: no NOPASSWD rule, or sudo is not installed."""


class LedgerUnreadable(TransientError):
    """The host's record of what is ours is damaged; nothing is done there until it is put right."""


class SystemdUnreachable(TransientError):
    """The host's systemd does not answer on its bus, or there is none."""


class HostTimeout(TransientError):
    """The connection lives, but the answer to a request did not come within its limit."""


# --- transient: working on a host ---------------------------------------------------------


class HostBusy(TransientError):
    """The lock on the host was held for longer than we wait; the message names the pid."""


class InstallFailed(TransientError):
    """A package manager or download failed; the mirror may be back later."""


class StepFailed(TransientError):
    """A step on the host failed for a reason that has no name of its own."""


class DiskFull(StepFailed):
    """No space, or no quota, is left where a file was to be written."""


class ReadOnlyFileSystem(StepFailed):
    """The file system is mounted read-only, often after an error of the disk."""


class FileFailed(StepFailed):
    """A file or directory could not be written, linked or removed."""


class UserFailed(StepFailed):
    """The instance's system user could not be made, or is gone."""


class ReloadFailed(StepFailed):
    """systemd did not read its unit files again."""


class ResetFailed(StepFailed):
    """systemd did not forget the failures of a unit."""


class StopFailed(StepFailed):
    """systemd could not stop the unit."""


class RestartFailed(StepFailed):
    """systemd could not restart the unit."""


class StartFailed(TransientError):
    """systemd could not start the unit, or the start job failed."""


class MainProcessExited(TransientError):
    """The main process ended by itself; systemd starts it again, up to its start limit."""


class CrashLoop(TransientError):
    """The process keeps ending by itself; started again after 10 s, doubling to 5 minutes."""


class PortInUse(TransientError):
    """Something that is not ours is bound to the port; the message names the process."""


class PortNotBound(TransientError):
    """The unit runs, but listens on other ports than declared."""


# --- transient: the apiserver -------------------------------------------------------------


class ApiError(TransientError):
    """The apiserver did not do what was asked; says nothing about any host."""


class ApiUnavailable(ApiError):
    """The apiserver answered 429, 5xx or not at all."""

    def __init__(
        self, message: str = "", retry_after_seconds: float | None = None, status_code: int = 0
    ) -> None:
        """
        Args:
            message: as in OperatorError.
            retry_after_seconds: what the apiserver asks to wait at least; None: it did not say.
            status_code: of the HTTP answer; 0: there was none, so a write may have happened.
        """
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.status_code = status_code


class ApiExpired(ApiError):
    """The apiserver answered 410: the list or watch is too old to go on; list again."""


class Conflict(ApiError):
    """The object changed between our read and our write (409, or a failed JSON Patch test)."""


class ObjectGone(ApiError):
    """The object that we write to is gone, or another one has its name by now."""


class ApiRefused(ApiError):
    """The apiserver answered 400, 401, 403 or 422: credentials, RBAC or an older CRD."""

    def __init__(self, message: str = "", status_code: int = 0) -> None:
        """
        Args:
            message: as in OperatorError.
            status_code: of the HTTP answer; 0: there was none.
        """
        super().__init__(message)
        self.status_code = status_code


# --- terminal: the object itself ----------------------------------------------------------


class InvalidObject(TerminalError):
    """
    The object is not what its schema says: edited behind the schema's back, or a CRD of
    another version. The message names field, value and what would be right.
    """


# --- terminal: what the object names ------------------------------------------------------


class GameNotFound(TerminalError):
    """No Game has the instance's ``spec.guid``."""


class DuplicateGame(TerminalError):
    """An older Game has the same guid; the older one counts."""


class HostNotFound(TerminalError):
    """No GameHost has the instance's ``spec.host`` as its name or address."""


class AmbiguousHost(TerminalError):
    """Two or more GameHosts have the address that ``spec.host`` says; a name would be clear."""


class HostTerminating(TerminalError):
    """The GameHost is being deleted and takes no new instances."""


class HostUnschedulable(TerminalError):
    """The GameHost says ``unschedulable: true`` and takes no new instances."""


class NamespaceNotAdmitted(TerminalError):
    """The GameHost's ``namespaceSelector`` does not admit the instance's namespace."""


class PathOutsideRoots(TerminalError):
    """``spec.path`` is under none of the GameHost's ``pathRoots``, or leaves them by a link."""


class PathMoved(TerminalError):
    """The ledger has the instance at another path: it was created anew with another one."""


class PathOccupied(TerminalError):
    """The directory is not empty and does not carry this instance's marker."""


class PortOutOfRange(TerminalError):
    """A port asked for by number is in none of the host's ranges, or is reserved there."""


class PortsExhausted(TerminalError):
    """Fewer free ports in the host's ranges than ports to allocate."""


class UndeclaredPort(TerminalError):
    """The instance names a port that the Game does not declare."""


class UndeclaredVariable(TerminalError):
    """The instance sets, or the Game's exec uses, a variable that the Game does not declare."""


class VariableMismatch(TerminalError):
    """A variable's value does not match the Game's pattern, or a required one has no value."""


class UnitNameTaken(TerminalError):
    """A ``<service>@.service`` without our marker is on the host; it is never overwritten."""


# --- terminal: claims ---------------------------------------------------------------------


class ClaimLost(TerminalError):
    """Another object holds what this one claims; the message names the holder."""


class IdentityTaken(ClaimLost):
    """guid + instance_id on this host belong to another GameInstance."""


class PathTaken(ClaimLost):
    """The path, one above or one below it, belongs to another GameInstance."""


class UnitTaken(ClaimLost):
    """The unit name belongs to an instance of another Game with an equal service name."""


class PortTaken(ClaimLost):
    """(protocol, number) belongs to another GameInstance on this host."""


class HeldByAnother(ClaimLost):
    """The host's ledger holds this identity for an object of another namespace or name."""


# --- terminal: who may write to a machine -------------------------------------------------


class StaleLeader(TerminalError):
    """A newer leader has written to the host; this process must write no more."""


class OwnedByAnother(TerminalError):
    """Another cluster owns the host; ``warlock.dev/take-over`` takes it over."""


class DuplicateHost(TerminalError):
    """Another GameHost is this machine already; this one sends nothing."""


# --- the list -------------------------------------------------------------------------------

FAMILIES: Final = frozenset({OperatorError, TransientError, TerminalError, ApiError, ClaimLost})
"""What others are kinds of, and nothing is called by itself."""


def _kinds(error: type[OperatorError]) -> Iterator[type[OperatorError]]:
    yield error
    for kind in error.__subclasses__():
        yield from _kinds(kind)


BY_REASON: Final[Mapping[str, type[OperatorError]]] = {
    error.reason: error for error in _kinds(OperatorError) if error not in FAMILIES
}
"""Every failure that a condition can carry; each has an entry in docs/troubleshooting.md."""
