"""The kind Game: one entry of the catalogue. Cluster-scoped, the admin's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from warlock_operator.api.rules import (
    BY_NAME,
    Model,
    Rule,
    StatusModel,
    cel_string,
    matches,
)
from warlock_operator.api.v1alpha1.install import Install
from warlock_operator.api.v1alpha1.meta import Conditions, ObjectMeta
from warlock_operator.api.v1alpha1.query import QueryProtocol
from warlock_operator.api.v1alpha1.values import (
    ABSOLUTE_PATH,
    MAX_PORTS,
    MAX_VARIABLES,
    Guid,
    PortName,
    PortNumber,
    ServiceName,
    Text,
    Title,
)
from warlock_operator.api.v1alpha1.variables import GameVariable

MAX_SERVICES = 8
MAX_WORDS = 64


class Manager(StrEnum):
    """Who drives a game's instances on the machine."""

    NATIVE = "Native"


class Protocol(StrEnum):
    """Transport protocol of a port."""

    UDP = "UDP"
    TCP = "TCP"


class StopSignal(StrEnum):
    """Signals that a game server may want for its end."""

    SIGTERM = "SIGTERM"
    SIGINT = "SIGINT"
    SIGQUIT = "SIGQUIT"
    SIGHUP = "SIGHUP"
    SIGUSR1 = "SIGUSR1"
    SIGUSR2 = "SIGUSR2"
    SIGKILL = "SIGKILL"


Word = Annotated[
    Text,
    matches(
        r"([^$]|\$\{[A-Za-z_][A-Za-z0-9_]*\})*",
        "must use $ only as ${NAME}, which stands for a variable's value; no shell reads the line",
    ),
]


class Stop(Model):
    """How the game is asked to end."""

    signal: StopSignal = Field(
        default=StopSignal.SIGTERM, description="The signal on which the game saves and ends."
    )
    timeout_seconds: int = Field(
        default=90,
        ge=1,
        le=3600,
        description="Seconds that the game has to end before it is killed.",
    )


class GameService(Model):
    """One process of the game: a systemd template unit."""

    rules = (
        Rule(
            cel=f"size(self.exec) == 0 || self.exec[0].matches({cel_string(f'^{ABSOLUTE_PATH}$')})",
            message="must start with the program's absolute path, such as /usr/games/server: "
            "letters, digits, '.', '_', '-' and '/' only, without variables",
            holds=lambda self: re.fullmatch(ABSOLUTE_PATH, self.exec[0]) is not None,
            field="exec",
        ),
    )

    name: ServiceName = Field(
        description="Name of the template unit, <name>@.service on the machine; an instance of it "
        "is <name>@<instance_id>.service. A template of that name that is not ours is "
        "never overwritten, so choose one that no package ships. Immutable."
    )
    exec: Annotated[tuple[Word, ...], Field(min_length=1, max_length=MAX_WORDS)] = Field(
        description="The program's absolute path and its arguments, one word each. No shell reads "
        "them. ${NAME} stands for the value of a variable of the Game, for PORT_<NAME> "
        "(a port's number, the name in upper case and '-' as '_'), HOME (the instance's "
        "path), WARLOCK_GUID, WARLOCK_INSTANCE_ID, WARLOCK_INSTANCE_NAME or WARLOCK_PATH; "
        "everything else, % included, means itself."
    )
    stop: Stop = Field(default=Stop(), description="How the process is asked to end.")


class GamePort(Model):
    """A port that every instance of the game binds."""

    name: PortName = Field(
        description="Name of the port; its number is in the variable PORT_<NAME>."
    )
    protocol: Protocol = Field(default=Protocol.UDP, description="UDP or TCP.")
    default: PortNumber | None = Field(
        default=None,
        description="The number that allocation tries first. Absent: the host's first free one.",
    )


class GameQuery(Model):
    """How players are counted."""

    rules = (
        Rule(
            cel="self.protocol == 'None' || has(self.port)",
            message="must name the port of the Game that answers queries",
            holds=lambda self: self.protocol is QueryProtocol.NONE or bool(self.port),
            field="port",
        ),
    )

    protocol: QueryProtocol = Field(
        description="The protocol that the game answers, by its name in opengsq; None: players "
        "are not counted."
    )
    port: PortName | None = Field(
        default=None, description="Name of the port, among spec.ports, that answers queries."
    )


def _defaults_differ(spec: GameSpec) -> bool:
    wanted = [(port.protocol, port.default) for port in spec.ports if port.default is not None]
    return len(wanted) == len(set(wanted))


class GameSpec(Model):
    """What a game is and how it is run."""

    rules = (
        Rule(
            cel="self.guid == oldSelf.guid",
            message="can't be changed, since instances refer to it; create another Game instead",
            field="guid",
        ),
        Rule(
            cel="self.services.map(s, s.name) == oldSelf.services.map(s, s.name)",
            message="can't get other names or another order, since units on machines bear them; "
            "create another Game instead",
            field="services",
        ),
        Rule(
            cel="!has(self.ports) || self.ports.all(p, !has(p.default) || self.ports.exists_one(q, "
            "has(q.default) && q.protocol == p.protocol && q.default == p.default))",
            message="must not have one default twice for one protocol; give each port its own",
            holds=_defaults_differ,
            field="ports",
        ),
        Rule(
            cel="!has(self.query) || !has(self.query.port) || "
            "has(self.ports) && self.ports.exists(p, p.name == self.query.port)",
            message="must name one of spec.ports as its port",
            holds=lambda self: (
                not (self.query and self.query.port)
                or any(port.name == self.query.port for port in self.ports)
            ),
            field="query",
        ),
    )

    guid: Guid = Field(
        description="The game's id, a lower-case UUID as in Warlock; GameInstances refer to it. "
        "Of two Games with one guid the older counts. Immutable."
    )
    title: Title = Field(description="The game's name for people.")
    manager: Manager = Field(
        default=Manager.NATIVE,
        description="Who drives the instances: Native, the operator itself.",
    )
    install: Install = Field(description="How the game comes onto a machine: exactly one source.")
    services: Annotated[
        tuple[GameService, ...], Field(min_length=1, max_length=MAX_SERVICES), BY_NAME
    ] = Field(
        description="The game's processes, each a systemd template unit; the first is the main "
        "one. Names and order are immutable."
    )
    variables: Annotated[tuple[GameVariable, ...], Field(max_length=MAX_VARIABLES), BY_NAME] = (
        Field(default=(), description="What an instance may set in its spec.env.")
    )
    ports: Annotated[tuple[GamePort, ...], Field(max_length=MAX_PORTS), BY_NAME] = Field(
        default=(), description="The ports that every instance binds."
    )
    query: GameQuery | None = Field(
        default=None, description="How players are counted. Absent: they are not."
    )


class GameStatus(StatusModel):
    """What the operator made of the entry."""

    observed_generation: int = Field(
        default=0,
        ge=0,
        description="The metadata.generation that the status was made from; 0: of none yet.",
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: instances can be made from it. Stalled: another Game has its guid, or "
        "it contradicts itself.",
    )


class Game(Model):
    """An entry of the catalogue: what a game needs and how its instances are run."""

    rules = (
        # The name is part of an instance's default path, and a directory has at most 255 bytes.
        Rule(
            cel="size(self.metadata.name) <= 63",
            message="the name of a Game has at most 63 characters",
            holds=lambda self: len(self.metadata.name) <= 63,
        ),
    )

    metadata: ObjectMeta
    spec: GameSpec = Field(description="What a game is and how it is run.")
    status: GameStatus | None = Field(default=None, description="What the operator made of it.")


BUILT_IN_VARIABLES = (
    "HOME",
    "WARLOCK_GUID",
    "WARLOCK_INSTANCE_ID",
    "WARLOCK_INSTANCE_NAME",
    "WARLOCK_PATH",
)


def port_variable(name: str) -> str:
    """Name the variable that holds the number of port *name*."""
    return "PORT_" + name.replace("-", "_").upper()


_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def references(game: GameSpec) -> Iterator[str]:
    """The NAME of each ``${NAME}`` in the game's services, in order, repeated ones too."""
    for service in game.services:
        for word in service.exec:
            yield from _REFERENCE.findall(word)


def undeclared_references(game: GameSpec) -> tuple[str, ...]:
    """
    What the services refer to and nothing sets, each once, in order of appearance.

    Such a word would reach the game as an empty argument, so the Game is Stalled.
    """
    known = {*BUILT_IN_VARIABLES}
    known.update(variable.name for variable in game.variables)
    known.update(port_variable(port.name) for port in game.ports)
    return tuple(dict.fromkeys(name for name in references(game) if name not in known))
