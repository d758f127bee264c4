"""The kind GameInstance: one running copy of a game. Namespaced and the tenant's."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from warlock_operator.api.names import DEFAULT_INSTANCE
from warlock_operator.api.rules import BY_NAME, Model, Rule
from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus
from warlock_operator.api.v1alpha1.meta import ObjectMeta
from warlock_operator.api.v1alpha1.values import (
    MAX_PORTS,
    MAX_VALUES_CHARACTERS,
    MAX_VARIABLES,
    Guid,
    HostReference,
    InstanceId,
    InstancePath,
    PortName,
    PortNumber,
    Text,
    Title,
    VariableName,
)


class RunState(StrEnum):
    """Whether an instance is wanted to run."""

    RUNNING = "Running"
    STOPPED = "Stopped"


class InstancePort(Model):
    """A port that is asked for by number."""

    name: PortName = Field(description="Name of the port, one of the Game's spec.ports.")
    port: PortNumber | None = Field(
        default=None,
        description="The port's number, in the host's ranges. Absent: one is allocated, and stays "
        "the same from then on.",
    )


class EnvironmentVariable(Model):
    """A variable and its value."""

    name: VariableName = Field(
        description="Name of the variable, one of the Game's spec.variables."
    )
    value: Text = Field(
        default="",
        description="Value; it matches the pattern that the Game gives. No shell reads it.",
    )


def _no_port_three_times(spec: GameInstanceSpec) -> bool:
    numbers = [port.port for port in spec.ports if port.port is not None]
    return all(numbers.count(number) <= 2 for number in numbers)


def _values_fit(spec: GameInstanceSpec) -> bool:
    return sum(len(each.value) for each in spec.env) <= MAX_VALUES_CHARACTERS


_COMMON = "can't be changed: delete the GameInstance and create another; its files stay"


class GameInstanceSpec(Model):
    """Which game runs where, and how."""

    # Rules about an optional field stand here: on the field itself they would not be run when
    # it appears or goes.
    rules = (
        Rule(cel="self.guid == oldSelf.guid", message=_COMMON, field="guid"),
        Rule(cel="self.host == oldSelf.host", message=_COMMON, field="host"),
        Rule(
            cel="(has(self.instance_id) ? self.instance_id : 'default') == "
            "(has(oldSelf.instance_id) ? oldSelf.instance_id : 'default')",
            message=_COMMON,
            field="instance_id",
        ),
        Rule(
            cel="has(self.path) == has(oldSelf.path) && "
            "(!has(self.path) || self.path == oldSelf.path)",
            message="can't be set, changed or removed later: delete the GameInstance and create "
            "another; its files stay",
            field="path",
        ),
        # Twice is right where the Game has the ports under different protocols.
        Rule(
            cel="!has(self.ports) || self.ports.all(p, !has(p.port) || "
            "size(self.ports.filter(q, has(q.port) && q.port == p.port)) <= 2)",
            message="must not have one number more than twice, once for UDP and once for TCP; give "
            "each port its own",
            holds=_no_port_three_times,
            field="ports",
        ),
        # All instances of a host share one message: a few must not be able to fill it.
        Rule(
            cel="!has(self.env) || self.env.map(v, has(v.value) ? size(v.value) : 0).sum() <= "
            f"{MAX_VALUES_CHARACTERS}",
            message=f"must not have values of more than {MAX_VALUES_CHARACTERS} characters "
            "together; put a long text into a file in the instance's directory",
            holds=_values_fit,
            field="env",
        ),
    )

    guid: Guid = Field(description="Which Game, by its spec.guid. Immutable.")
    host: HostReference = Field(
        description="Which GameHost, by its name, else by its address; a name wins. Immutable."
    )
    instance_id: InstanceId | None = Field(
        default=None,
        alias="instance_id",
        description="The instance's id on its host, a lower-case UUID, as in Warlock. Absent: the "
        "default instance, of which a host has one for each Game. Immutable.",
    )
    instance_name: Title | None = Field(
        default=None,
        alias="instance_name",
        description="The instance's name for people, in WARLOCK_INSTANCE_NAME too.",
    )
    path: InstancePath | None = Field(
        default=None,
        description="Directory of the instance's files, under one of the host's pathRoots. Absent: "
        "<first root>/<name of the Game>-<instance_id>. Immutable.",
    )
    ports: Annotated[tuple[InstancePort, ...], Field(max_length=MAX_PORTS), BY_NAME] = Field(
        default=(),
        description="Ports asked for by number; the Game's others are allocated from the host's "
        "ranges and stay the same from then on.",
    )
    env: Annotated[tuple[EnvironmentVariable, ...], Field(max_length=MAX_VARIABLES), BY_NAME] = (
        Field(default=(), description="Values for variables that the Game declares.")
    )
    state: RunState = Field(
        default=RunState.RUNNING,
        description="Running, or Stopped: the unit is stopped and disabled, everything else stays.",
    )


class GameInstance(Model):
    """One running copy of a game on a GameHost: its own user, directory, ports and unit."""

    metadata: ObjectMeta
    spec: GameInstanceSpec = Field(description="Which game runs where, and how.")
    status: GameInstanceStatus | None = Field(
        default=None, description="What the operator saw on the machine."
    )

    @property
    def instance_id(self) -> str:
        """The id on the host; ``default`` where the spec names none."""
        return self.spec.instance_id or DEFAULT_INSTANCE
