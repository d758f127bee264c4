"""
The status of a GameInstance. Nothing in it changes with time alone: idle fleets write nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from warlock_operator.api.names import InstanceState
from warlock_operator.api.rules import BY_NAME, ListKind, StatusModel
from warlock_operator.api.v1alpha1.game import MAX_SERVICES, Protocol
from warlock_operator.api.v1alpha1.meta import Conditions
from warlock_operator.api.v1alpha1.values import (
    MAX_PATH,
    MAX_PORTS,
    Count,
    LongText,
    Percent,
    ShortText,
    Timestamp,
)

MAX_PLAYER_NAMES = 128
MAX_PLAYER_NAME = 64
MAX_HISTORY = 10


class MemorySource(StrEnum):
    """Where a memory figure comes from."""

    CGROUP = "Cgroup"
    PROCESS_PSS = "ProcessPSS"


class OperationType(StrEnum):
    """Long work on a machine."""

    INSTALL = "Install"


class OperationResult(StrEnum):
    """How an operation ended."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


_Players = Annotated[int, Field(ge=0)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class PortStatus(StatusModel):
    """A port that the instance has."""

    name: _Name = Field(description="Name of the port, as in the Game.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(description="Its number.")
    protocol: Protocol = Field(description="UDP or TCP.")


class ServiceStatus(StatusModel):
    """One unit of the instance, as systemd shows it."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Name of the service, as in the Game."
    )
    unit: ShortText = Field(default="", description="Name of its unit on the machine.")
    active_state: ShortText = Field(
        default="", description="systemd's ActiveState: active, inactive, activating, failed …"
    )
    sub_state: ShortText = Field(
        default="", description="systemd's SubState: running, dead, auto-restart …"
    )
    main_pid: Count = Field(
        default=0, alias="mainPID", description="Id of its main process; 0: there is none."
    )
    since: Timestamp | None = Field(
        default=None, description="When it came into this state, by the machine's clock."
    )
    restarts: Count = Field(default=0, description="How often systemd has restarted it by itself.")


class Players(StatusModel):
    """Who plays; absent while it is not known."""

    online: _Players = Field(description="Players on the server, bots included.")
    max: _Players = Field(default=0, description="Places on the server; 0: not known.")
    names: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_PLAYER_NAME)], ...],
        Field(max_length=MAX_PLAYER_NAMES),
    ] = Field(default=(), description="Names of the players, the first of them where many.")


class Metrics(StatusModel):
    """What the instance uses; written when it changes by much, at most once a minute."""

    cpu_millicores: Count | None = Field(
        default=None, description="Processor time used, in thousandths of one processor."
    )
    memory_bytes: Count | None = Field(default=None, description="Memory used, in bytes.")
    memory_source: MemorySource | None = Field(
        default=None,
        description="Cgroup: counted by the kernel. ProcessPSS: the sum over the processes, where "
        "the machine counts no memory for units.",
    )
    tasks: Count | None = Field(default=None, description="Number of threads.")


class OperationStatus(StatusModel):
    """Long work that is under way on the machine."""

    id: ShortText = Field(description="Id of the operation on the machine.")
    type: OperationType = Field(description="What is done.")
    step: LongText = Field(default="", description="What it is doing now.")
    progress: Percent = Field(default=0, description="How far it is, in percent.")
    started_at: Timestamp | None = Field(default=None, description="When it began.")
    deadline: Timestamp | None = Field(
        default=None, description="When it is given up, if it has not ended by then."
    )


class OperationRecord(StatusModel):
    """Long work that has ended."""

    id: ShortText = Field(description="Id of the operation on the machine.")
    type: OperationType = Field(description="What was done.")
    result: OperationResult = Field(description="Succeeded or Failed.")
    message: LongText = Field(default="", description="Why it failed.")
    started_at: Timestamp | None = Field(default=None, description="When it began.")
    finished_at: Timestamp | None = Field(default=None, description="When it ended.")


class GameInstanceStatus(StatusModel):
    """What the operator saw on the machine; what can't be seen is absent or Unknown."""

    observed_generation: Count = Field(
        default=0,
        description="The metadata.generation that the status was made from; 0: of none yet.",
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: the machine is as the spec says. Reconciling: work is under way. "
        "Stalled: an edit is needed, and the reason says of what. HostReachable, PortsAllocated, "
        "Installed, Registered and Running say how far it is.",
    )
    state: InstanceState | None = Field(
        default=None, description="The conditions in one word, to print and never to branch on."
    )
    instance_id: ShortText = Field(
        default="",
        alias="instance_id",
        description="The instance's id on its host; default where the spec names none.",
    )
    path: Annotated[str, Field(max_length=MAX_PATH)] = Field(
        default="", description="Directory of the instance's files."
    )
    user: ShortText = Field(default="", description="System user that the instance runs as.")
    address: ShortText = Field(
        default="", description="Where players connect: the host's address and the first port."
    )
    ports: Annotated[tuple[PortStatus, ...], Field(max_length=MAX_PORTS), BY_NAME] = Field(
        default=(), description="The ports that the instance has."
    )
    services: Annotated[tuple[ServiceStatus, ...], Field(max_length=MAX_SERVICES), BY_NAME] = Field(
        default=(), description="The instance's units, the main one first."
    )
    version: ShortText = Field(default="", description="Version of the game that is installed.")
    players: Players | None = Field(
        default=None, description="Who plays. Absent: not known, or not asked."
    )
    metrics: Metrics | None = Field(default=None, description="What the instance uses.")
    security_score: Annotated[float, Field(ge=0, le=10)] | None = Field(
        default=None,
        description="Exposure by systemd-analyze security: 0 is closed, 10 wide open.",
    )
    last_seen: Timestamp | None = Field(
        default=None,
        description="When the machine was last seen; written when it goes out of sight.",
    )
    operation: OperationStatus | None = Field(
        default=None, description="Long work that is under way."
    )
    history: Annotated[
        tuple[OperationRecord, ...], Field(max_length=MAX_HISTORY), ListKind("id")
    ] = Field(default=(), description="The last operations that ended, the newest first.")
