"""Hypothesis strategies for desired and observed hosts; small worlds, so that collisions happen."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from warlock_agent import names
from warlock_agent.model import (
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    DesiredPort,
    DesiredService,
    KeptInstance,
    ObservedHost,
    ObservedUnit,
    RemovedInstance,
)

GUIDS = ("6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61", "700798f0-35be-bc6c-da84-62c510dfbd06")
IDS = (
    "default",
    "550e8400-e29b-41d4-a716-446655440000",
    "550e8400-e29b-41d4-a716-446655440001",
)
GAMES = (
    DesiredGame(
        GUIDS[0],
        "openarena",
        "OpenArena",
        (
            DesiredService(
                "warlock-openarena",
                ("/usr/games/openarena-server", "+set", "net_port", "${PORT_GAME}"),
                "SIGINT",
                30,
            ),
        ),
        ("openarena-server",),
        ("openarena-server.service",),
    ),
    DesiredGame(
        GUIDS[1],
        "minecraft",
        "Minecraft",
        (
            DesiredService("warlock-minecraft", ("/usr/bin/java", "-jar", "server.jar")),
            DesiredService("warlock-minecraft-map", ("/usr/bin/map", "100%", "a b;$c")),
        ),
    ),
)

MAP = GAMES[1].services[1]
ANEW = tuple(
    (GAMES[0], replace(GAMES[1], services=services))
    for services in (GAMES[1].services[:1], (MAP,), (replace(MAP, name="warlock-map"), MAP))
)
"""The same Games, where one was deleted and made again with other services."""


def instance(
    guid: str = GUIDS[0],
    instance_id: str = "default",
    number: int = 27960,
    **changes: object,
) -> DesiredInstance:
    """Give one instance; two of different identity never collide."""
    index = GUIDS.index(guid) * len(IDS) + IDS.index(instance_id)
    made = DesiredInstance(
        guid=guid,
        instance_id=instance_id,
        namespace="games",
        name=f"instance-{index}",
        uid=f"uid-{index}",
        generation=1,
        path=f"/opt/game-{index}",
        ports=(DesiredPort("game", "UDP", number + index),),
        env=(("SERVER_NAME", "Warlock"),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def host(*instances: DesiredInstance, **changes: object) -> DesiredHost:
    """Give a desired host that converges *instances* of the two Games."""
    made = DesiredHost("host-a", ("/opt", "/srv"), GAMES, instances)
    return replace(made, **changes)  # type: ignore[arg-type]


def empty_host(**changes: object) -> ObservedHost:
    """Give a machine that nobody has touched."""
    made = ObservedHost(machine_id="m" * 32, boot_id="b" * 32, uptime_seconds=1000)
    return replace(made, **changes)  # type: ignore[arg-type]


@st.composite
def instances(draw: st.DrawFn) -> DesiredInstance:
    """Draw an instance; path, ports and object may collide with another's."""
    guid, instance_id = draw(st.sampled_from(GUIDS)), draw(st.sampled_from(IDS))
    made = instance(guid, instance_id)
    return replace(
        made,
        generation=draw(st.integers(1, 3)),
        path=draw(st.sampled_from([made.path, "/opt/game-0", "/srv/x", "/opt/game-0/nested"])),
        ports=tuple(
            DesiredPort(name, draw(st.sampled_from(["UDP", "TCP"])), number)
            for name, number in draw(
                st.dictionaries(st.sampled_from("ab"), st.integers(27960, 27963), max_size=2)
            ).items()
        ),
        env=draw(st.sampled_from([(), (("SERVER_NAME", "x"),), (("SERVER_NAME", 'q"$`\\'),)])),
        running=draw(st.booleans()),
        restart=draw(st.sampled_from(["", "1", "2"])),
        reconcile=draw(st.sampled_from(["", "r"])),
        name=draw(st.sampled_from([made.name, made.name, "another"])),
    )


@st.composite
def desired_hosts(draw: st.DrawFn) -> DesiredHost:
    """Draw a desired host: some instances to converge, some to keep, some to remove."""
    many = draw(st.lists(instances(), max_size=6, unique_by=lambda i: i.key))
    lists = draw(st.lists(st.sampled_from("ccckr-"), min_size=len(many), max_size=len(many)))
    chosen = list(zip(many, lists, strict=True))
    return DesiredHost(
        "host-a",
        ("/opt", "/srv"),
        draw(st.sampled_from([GAMES, GAMES, *ANEW])),
        tuple(i for i, where in chosen if where == "c"),
        tuple(KeptInstance(i.guid, i.instance_id) for i, where in chosen if where == "k"),
        tuple(
            RemovedInstance(i.guid, i.instance_id, i.uid, i.namespace, i.name)
            for i, where in chosen
            if where == "r"
        ),
    )


@st.composite
def units(draw: st.DrawFn) -> ObservedUnit:
    """Draw a unit in any state; what is active has a main process."""
    names_of_units = [names.unit_name(s.name, i) for g in GAMES for s in g.services for i in IDS]
    states = ["active", "inactive", "failed", "activating", "deactivating"]
    state = draw(st.sampled_from(states))
    return ObservedUnit(
        draw(st.sampled_from(names_of_units)),
        state,
        main_pid=4711 if state == "active" else 0,
        digest=draw(st.sampled_from([None, "0" * 32])) if state == "active" else None,
    )
