"""
What an attacker writes is data: on a real machine nothing of it is run, and every byte arrives.

One instance a value, all at once; a canary would be made by whatever runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from demokit.operator import Operator
from tests.cluster.admission.conftest import Api
from tests.e2e.world import Machine, Namespace, Object, is_true, ready, wait_for
from tests.hostile import machine as hostile
from tests.hostile.corpus import CANARY, CORPUS
from tests.hostile.walk import planted
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.parse import parse
from warlock_operator.errors import InvalidObject

GAME = "hostile"
GUID = "b6c9a1de-0000-4000-8000-000000000001"
PLAIN = "plain"
MAX_ANNOTATION = 60_000  # of 256 KiB that all annotations of an object may have together
MAX_WORDS = 60
CONVERGED_SECONDS = 180.0


def admitted(kind: Kind, pattern: str) -> list[str]:
    """Give the values that the models (and so, as the admission suite shows, the API) let in."""
    return [value for value in CORPUS if _reads(kind, pattern, value)]


def _reads(kind: Kind, pattern: str, value: str) -> bool:
    try:
        parse(kind, planted(kind, pattern, value))
    except InvalidObject:
        return False
    return True


TEXTS = admitted(Kind.GAME_INSTANCE, "spec.env[].value")
TITLES = frozenset(admitted(Kind.GAME_INSTANCE, "spec.instance_name"))
DEFAULTS = admitted(Kind.GAME, "spec.variables[].default")[:MAX_WORDS]
# ${NAME} is the one thing that means something in a word.
WORDS = [word for word in admitted(Kind.GAME, "spec.services[].exec[]") if "$" not in word and word]


@pytest.fixture(scope="module")
def api(kubeconfig: Path) -> Api:
    """The apiserver without kubectl, whose YAML refuses what JSON can say."""
    return Api(kubeconfig)


def _create(api: Api, where: str, manifest: Object) -> None:
    answer = api.request("POST", f"/apis/warlock.dev/v1alpha1/{where}", manifest)
    assert answer.accepted, answer.message[:500]


@pytest.fixture(scope="module")
def attacked(api: Api, machine: Machine, operator: Operator) -> Iterator[list[str]]:
    """Games that hold all that an admin could be talked into; gives their guids."""
    hostile.place_recorder(machine)
    guids = []
    for at in range(0, len(WORDS), MAX_WORDS):
        guid = GUID[:-1] + str(at // MAX_WORDS)
        words = [hostile.RECORDER, "${TEXT}", "x${lower}x", *WORDS[at : at + MAX_WORDS]]
        variables = [{"name": "TEXT"}, {"name": "lower", "default": PLAIN}] + [
            {"name": f"D{n}", "default": text, "description": text}
            for n, text in enumerate(DEFAULTS)
        ]
        made = hostile.game(f"{GAME}{at // MAX_WORDS}", guid, words, variables)
        _create(api, "games", made)
        guids.append(guid)
    yield guids
    for number in range(len(guids)):
        api.request("DELETE", f"/apis/warlock.dev/v1alpha1/games/{GAME}{number}")


def _instance(number: int, value: str, namespace: Namespace, guid: str) -> Object:
    text = value if value in TEXTS else PLAIN
    spec: Object = {
        "guid": guid,
        "host": "game-a",
        "instance_id": str(uuid.UUID(int=number + 1)),
        "env": [{"name": "TEXT", "value": text}, {"name": "lower", "value": text}],
    }
    if value in TITLES:
        spec["instance_name"] = value
    made = namespace.manifest(f"hostile-{number}", spec)
    annotations = dict.fromkeys(("restart", "reconcile"), value[:MAX_ANNOTATION])
    made["metadata"]["annotations"] = {f"warlock.dev/{k}": v for k, v in annotations.items()}
    return made


def test_what_an_attacker_writes_reaches_the_game_byte_for_byte_and_is_not_run(
    namespace: Namespace, api: Api, machine: Machine, operator: Operator, attacked: list[str]
) -> None:
    process, begin = operator.pid, operator.log.stat().st_size
    for number, value in enumerate(CORPUS):
        made = _instance(number, value, namespace, attacked[number % len(attacked)])
        _create(api, f"namespaces/{namespace.name}/gameinstances", made)
    wait_for(
        lambda: not _unready(namespace), CONVERGED_SECONDS, "every instance is Ready",
        lambda: _unready(namespace)[:5],
    )  # fmt: skip
    found = hostile.recorded(machine)
    for number, value in enumerate(CORPUS):
        _check(found, number, value)
    assert _canaries(machine) == ""
    assert [*Path("/tmp").glob(f"{CANARY}*")] == []
    assert operator.pid == process
    assert "Traceback" not in operator.log.read_bytes()[begin:].decode()
    assert machine.shell(
        "journalctl -q -o cat _PID=1 | grep -E 'warlock-hostile.*(ignoring|invalid|Failed)'",
        check=False,
    ) == ""  # fmt: skip


def _unready(namespace: Namespace) -> list[Object]:
    found = namespace.kubectl.items("gameinstances", "-n", namespace.name)
    return [
        {"name": each["metadata"]["name"], "status": each.get("status")}
        for each in found
        if not ready(each) or is_true(each, "Stalled")
    ]


def _check(found: dict[str, hostile.Recorded], number: int, value: str) -> None:
    count = -(-len(WORDS) // MAX_WORDS)
    group = number % count
    seen = found[f"{GAME}{group}-{uuid.UUID(int=number + 1)}"]
    text = (value if value in TEXTS else PLAIN).encode()
    words = [word.encode() for word in WORDS[group * MAX_WORDS :][:MAX_WORDS]]
    shell, program, *arguments = seen.arguments
    assert (shell, program) == (b"/bin/sh", hostile.RECORDER.encode())
    assert arguments == [text, b"x" + text + b"x", *words], ascii(value)[:80]
    assert seen.environment[b"TEXT"] == seen.environment[b"lower"] == text
    name = value.encode() if value in TITLES else b""
    assert seen.environment[b"WARLOCK_INSTANCE_NAME"] == name
    for at, default in enumerate(DEFAULTS):
        assert seen.environment[b"D%d" % at] == default.encode()
    assert not {b"LD_PRELOAD", b"VAR", b"UNDEFINED", b"X"} & seen.environment.keys()


def _canaries(machine: Machine) -> str:
    """Name every canary on the machine; a private /tmp lies below the real one."""
    return machine.shell(
        f"find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -name '{CANARY}*' -print"
    )
