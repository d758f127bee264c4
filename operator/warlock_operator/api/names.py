"""
Every name of the API that users, manifests and other programs depend on. Imported everywhere.

Reasons of failure are not here: they are the class names in :mod:`warlock_operator.errors`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from warlock_operator.errors import Failure

GROUP: Final = "warlock.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "games"

FINALIZER: Final = f"{GROUP}/host"
"""On GameInstances and GameHosts, before the first byte goes to the host."""

DEFAULT_INSTANCE: Final = "default"
"""The instance id of a GameInstance that names none, as in Warlock."""


class Kind(StrEnum):
    """The three kinds."""

    GAME = "Game"
    GAME_HOST = "GameHost"
    GAME_INSTANCE = "GameInstance"


PLURALS: Final = {
    Kind.GAME: "games",
    Kind.GAME_HOST: "gamehosts",
    Kind.GAME_INSTANCE: "gameinstances",
}


class Annotation(StrEnum):
    """Requests by annotation; "anything new" is any value that was not there before."""

    RESTART = f"{GROUP}/restart"
    """Anything new: restart once."""

    RECONCILE = f"{GROUP}/reconcile"
    """Anything new: retry now and reset back-off."""

    PAUSED = f"{GROUP}/paused"
    """``"true"``: touch nothing of it on the machine; a delete waits."""

    FORCE_DELETE = f"{GROUP}/force-delete"
    """``"true"``: let the object go and list what is left behind."""

    TAKE_OVER = f"{GROUP}/take-over"
    """On a GameHost, ``<owner displaced>/<anything new>``: take the machine over once."""

    REMOVE_ORPHAN = f"{GROUP}/remove-orphan"
    """On a GameHost, ``<guid>/<instance_id>/<uid>``: stop and unregister this orphan."""

    ACCEPT_HOST = f"{GROUP}/accept-host"
    """On a GameHost, ``<machine-id>``: this other machine at that address is right."""


class ConditionType(StrEnum):
    """Types of conditions. Ready, Reconciling and Stalled mean what kstatus says they mean."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    # of a GameInstance
    HOST_REACHABLE = "HostReachable"
    PORTS_ALLOCATED = "PortsAllocated"
    INSTALLED = "Installed"
    REGISTERED = "Registered"
    RUNNING = "Running"
    # of a GameHost
    REACHABLE = "Reachable"


class ConditionStatus(StrEnum):
    """What can't be seen is Unknown, never the last good value."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class InstanceState(StrEnum):
    """``status.state`` of a GameInstance: to print, never to branch on."""

    PENDING = "Pending"
    INSTALLING = "Installing"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    CRASHED = "Crashed"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    DELETING = "Deleting"


class Reason(StrEnum):
    """Reasons of conditions in which nothing is wrong; a failure's reason is its error's name."""

    AS_DECLARED = "AsDeclared"
    """The machine is as the spec says."""

    CONNECTED = "Connected"
    ALLOCATED = "Allocated"
    INSTALLED = "Installed"
    REGISTERED = "Registered"
    RUNNING = "Running"
    STOPPED = "Stopped"
    STARTING = "Starting"
    STOPPING = "Stopping"
    INSTALLING = "Installing"
    CONVERGING = "Converging"
    """Work on the machine is under way."""

    RECOVERING = "Recovering"
    """It was as declared until it ended by itself, a moment ago; systemd starts it again."""

    NOT_VISITED = "NotVisited"
    """The host has not answered since this object or the operator is here."""

    NOT_SEEN = "NotSeen"
    """The host is out of reach, so what depends on it is not known."""

    PAUSED = "Paused"
    DELETING = "Deleting"
    WAITING = "Waiting"
    """Something else has to happen first; the message says what."""

    NOTHING_WRONG = "NothingWrong"
    """Stalled is False, Reconciling is False."""


Why = Reason | Failure
"""All that may be a condition's reason; each has an entry in docs/troubleshooting.md."""
