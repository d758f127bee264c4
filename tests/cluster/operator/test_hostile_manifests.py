"""
Whatever the apiserver admits, the operator serves, or it says why not; it ends for none of it.

Manifests are drawn: a whole one of each kind with some of its fields replaced, by what another
manifest could have there or by what an attacker would write. All of an example are there at once.
"""

from __future__ import annotations

import copy
import itertools
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.cluster.operator.conftest import KEY, Cluster, until
from tests.hostile.corpus import CORPUS
from tests.hostile.walk import whole
from tests.unit.core.worlds import GUID, OTHER_GUID, Raw
from warlock_operator.api.names import Kind
from warlock_operator.errors import OperatorError
from warlock_operator.kube.refs import BY_KIND, GAME_INSTANCE, Resource

EXAMPLES = settings().max_examples // 5
MAX_CHARACTERS = 2000

# What another manifest could have in that place: collisions, absences, the edge of what is allowed.
PLAUSIBLE: dict[str, list[Any]] = {
    "guid": [GUID, OTHER_GUID, str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1))],
    "host": ["host-a", "198.18.1.1", "nowhere", "2001:db8::1"],
    "instance_id": ["default", str(uuid.UUID(int=1)), str(uuid.UUID(int=2))],
    "path": ["/opt/a", "/opt/a/b", "/srv/x", "/opt", "/etc2/x", "/opt/" + "d" * 255],
    "ports": [
        [], [{"name": "game"}], [{"name": "other", "port": 1}], [{"name": "game", "port": 65535}],
        [{"name": "game", "port": 27960}], [{"name": f"p{n}"} for n in range(16)],
        {"ranges": [{"from": 1, "to": 1}]}, {"ranges": [{"from": 27960, "to": 65535}] * 2},
    ],
    "env": [
        [], [{"name": "SERVER_NAME"}], [{"name": "MAP", "value": "../x"}],
        [{"name": f"V{n}", "value": "x" * 1024} for n in range(64)],
    ],
    "state": ["Running", "Stopped"],
    "address": ["198.18.1.1", "198.18.1.2", "localhost", "::1", "a." * 100 + "b"],
    "services": [[{"name": "a", "exec": ["/x", "${UNDECLARED}"]}], [
        {"name": f"s{n}", "exec": ["/x"] + ["w" * 1024] * 63} for n in range(8)
    ]],
    "variables": [[], [{"name": "A", "pattern": "(a*)*b"}, {"name": "B"}]],
    "install": [{"none": {}}, {"packages": {"apt": ["a0"] }}],
    "query": [{"protocol": "None"}, {"protocol": "Source", "port": "game"}],
    "pathRoots": [["/opt"], ["/srv", "/opt/a"], ["/a/" + "b" * 200]],
    "namespaceSelector": [{}, {"matchLabels": {"a": "b"}}],
    "unschedulable": [True, False],
}  # fmt: skip
ODD: list[Any] = [
    *(text for text in CORPUS if len(text) <= MAX_CHARACTERS),
    None, True, 0, -1, 65536, 2**63, 1.5, [], {}, [None], [[]], {"a": None},
]  # fmt: skip


@st.composite
def manifests(draw: st.DrawFn, kind: Kind) -> Raw:
    """Draw a manifest: some top fields as another could have them, now and then an odd one."""
    made = copy.deepcopy(whole(kind))
    spec: Raw = made["spec"]
    if kind is Kind.GAME:
        spec["install"] = {"none": {}}
        spec["guid"] = str(uuid.UUID(int=draw(st.integers(0, 2**128 - 1))))
    if kind is Kind.GAME_HOST:
        spec["ssh"] = copy.deepcopy(KEY["ssh"])
        spec.pop("namespaceSelector")
    if kind is Kind.GAME_INSTANCE:
        spec.update(guid=GUID, host="host-a", instance_id=draw(st.uuids().map(str)))
        for name in ("path", "ports", "env"):
            spec.pop(name)
    for name in draw(st.sets(st.sampled_from(sorted(PLAUSIBLE)), max_size=4)):
        if name in whole(kind)["spec"] or name in spec:
            spec[name] = copy.deepcopy(draw(st.sampled_from(PLAUSIBLE[name])))
    if draw(st.booleans()):
        place = draw(st.sampled_from(sorted(_places(spec), key=str)))
        _at(spec, place[:-1])[place[-1]] = draw(st.sampled_from(ODD))
    annotated = draw(st.dictionaries(
        st.sampled_from(sorted(made["metadata"]["annotations"])), st.sampled_from(ODD), max_size=2
    ))  # fmt: skip
    made["metadata"] = {
        "name": "",
        "annotations": {name: text for name, text in annotated.items() if isinstance(text, str)},
    }
    return made


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in pairs:
        yield (*above, key)
        if isinstance(child, dict | list):
            yield from _places(child, (*above, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _told(found: Raw) -> bool:
    """Whether it is served, or a reason says why not, of this very generation."""
    status = found.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", ())}
    ready = conditions.get("Ready")
    if ready is None or status.get("observedGeneration") != found["metadata"]["generation"]:
        return False
    if ready["status"] == "True":
        return True
    answered = ready["reason"] not in ("NotVisited", "Converging", "Unnamed", "")
    waits = conditions.get("Reconciling", {}).get("status") == "True"
    stalled = conditions.get("Stalled", {}).get("status") == "True"
    return bool(answered and (stalled or waits or found["kind"] != "GameInstance"))


class Complaints(logging.Handler):
    """Tracebacks in anybody's log, as long as it listens."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what has one."""
        # Not asyncio's: it complains of what an earlier test has left when that is collected.
        ours = record.name.startswith(("warlock_operator", "kopf"))
        if ours and record.exc_info and record.exc_info[0] is not None:
            self.found.append(f"{record.name}: {record.getMessage()}: {record.exc_info[1]!r}")


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Listens while the test runs."""
    made = Complaints()
    logging.getLogger().addHandler(made)
    yield made
    logging.getLogger().removeHandler(made)


NUMBERS = itertools.count(2)
BATCH = st.tuples(
    st.lists(manifests(Kind.GAME), max_size=4),
    st.lists(manifests(Kind.GAME_HOST), max_size=4),
    st.lists(manifests(Kind.GAME_INSTANCE), min_size=8, max_size=16),
)


# What fails names its object; shrinking a whole cluster would take an hour.
@settings(max_examples=EXAMPLES, phases=[Phase.explicit, Phase.generate])
@given(batch=BATCH)
async def test_whatever_is_admitted_is_served_or_told_why_not(
    cluster: Cluster, complaints: Complaints, batch: tuple[list[Raw], ...]
) -> None:
    await cluster.clean()
    # A machine that nothing was on: what is removed by force stays, and holds paths and ports.
    machine = f"198.18.{next(NUMBERS)}.9"
    await cluster.furnish(address=machine, ports={"ranges": [{"from": 20000, "to": 30000}]})
    if not cluster.runs():
        await cluster.start()
    admitted: list[tuple[Resource, str]] = []
    for kind, made in zip(Kind, batch, strict=True):
        for number, manifest in enumerate(made):
            manifest["metadata"]["name"] = f"drawn-{number}"
            if await _create(cluster, BY_KIND[kind], manifest):
                admitted.append((BY_KIND[kind], manifest["metadata"]["name"]))
    for resource, name in admitted:
        await until(
            lambda r=resource, n=name: _settled(cluster, r, n), f"{resource} {name} is told"
        )
    assert len(admitted) > 1, "what is drawn is mostly admitted, or this says little"
    assert cluster.runs() == 1
    assert complaints.found == []


async def _create(cluster: Cluster, resource: Resource, manifest: Raw) -> bool:
    place = cluster.namespace if resource is GAME_INSTANCE else None
    try:
        await cluster.api.create(resource, place, manifest)
    except OperatorError:
        return False
    return True


async def _settled(cluster: Cluster, resource: Resource, name: str) -> bool:
    return _told(await cluster.seen(name, resource))
