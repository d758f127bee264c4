"""
What follows from the records and from the table: Argo CD's own test files, and the documentation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit import paths
from tests.health import expected, records
from tests.health.states import PAUSED, Object, state_of

MARK = "<!-- below this line a test writes -->"
PAGE = paths.REPOSITORY / "docs/gitops-health.md"
FROZEN = "0001-01-01T00:00:00Z"
"""Argo CD's own tests run its scripts at this time."""

EDITS = {
    "restart": {"metadata": {"annotations": {"warlock.dev/restart": FROZEN}}},
    "reconcile": {"metadata": {"annotations": {"warlock.dev/reconcile": FROZEN}}},
    "pause": {"metadata": {"annotations": {PAUSED: "true"}}},
    "resume": {"metadata": {"annotations": {PAUSED: None}}},
    "start": {"spec": {"state": "Running"}},
    "stop": {"spec": {"state": "Stopped"}},
}
"""What an action changes, as a JSON merge patch."""

_SAMPLES = {
    "restart": "ready-asdeclared",
    "reconcile": "ready-asdeclared",
    "pause": "ready-asdeclared",
    "resume": "paused-itself",
    "start": "ready-stopped",
    "stop": "ready-asdeclared",
}
"""On which record an action is tried."""


def derived() -> dict[Path, str]:
    """Give the text of every such file."""
    made = {PAGE: _page()}
    for kind in records.kinds():
        folder = records.GROUP_FOLDER / kind
        made[folder / "health_test.yaml"] = records.text({"tests": list(_health_tests(kind))})
        if (folder / "actions").exists():
            tests = {
                "discoveryTests": list(_discovery_tests(kind)),
                "actionTests": list(_action_tests(kind)),
            }
            made[folder / "actions/action_test.yaml"] = records.text(tests)
            made.update(_outputs(kind))
    return made


def _health_tests(kind: str) -> Iterator[dict[str, Any]]:
    for file in records.files(kind):
        found = expected.health(records.load(file))
        yield {"healthStatus": found, "inputPath": f"testdata/{file.name}"}


def _discovery_tests(kind: str) -> Iterator[dict[str, Any]]:
    for file in records.files(kind):
        offered = expected.actions(records.load(file))
        result = [{"name": name, "disabled": False} for name in offered]
        yield {"inputPath": f"../testdata/{file.name}", "result": result}


def _action_tests(kind: str) -> Iterator[dict[str, str]]:
    for action in _actions(kind):
        yield {
            "action": action,
            "inputPath": f"../testdata/{_SAMPLES[action]}.yaml",
            "expectedOutputPath": f"testdata/{action}.yaml",
        }


def _outputs(kind: str) -> Iterator[tuple[Path, str]]:
    folder = records.GROUP_FOLDER / kind
    for action in _actions(kind):
        before = records.load(folder / f"testdata/{_SAMPLES[action]}.yaml")
        after = merged(before, EDITS[action])
        yield folder / f"actions/testdata/{action}.yaml", records.text(after)


def _actions(kind: str) -> list[str]:
    scripts = (records.GROUP_FOLDER / kind / "actions").glob("*/action.lua")
    return sorted(script.parent.name for script in scripts)


def merged(value: Object, patch: Object) -> Object:
    """Give *value* with a JSON merge patch (RFC 7386); what becomes empty goes too."""
    made = copy.deepcopy(value)
    for key, each in patch.items():
        if isinstance(each, dict):
            made[key] = merged(made.get(key, {}), each)
            if not made[key]:
                del made[key]
        elif each is None:
            made.pop(key, None)
        else:
            made[key] = each
    return made


# --- the page -------------------------------------------------------------------------

_HEAD = (
    "| state | means | Argo CD | kstatus | what to do |",
    "| --- | --- | --- | --- | --- |",
)


def _page() -> str:
    kept = PAGE.read_text().partition(MARK)[0]
    rows = [
        f"| {word} | {row.means} | {row.argo_cd} | {row.kstatus} | {row.todo} |"
        for word, row in expected.TABLE.items()
    ]
    return f"{kept}{MARK}\n\n" + "\n".join([*_HEAD, *rows, "", _SEEN, *_seen(), ""])


_SEEN = """\
## Recorded

Each of these has been left by a real operator on real machines at least once, and is judged by the
programs themselves on every run of the suite. A state that no run has left before is judged too;
`hack/test tests/e2e --write-states` adds it. `NoPass` stands for whatever lets a pass over the host
come to nothing, `StepFailed` for any step of one that fails.
"""


def _seen() -> Iterator[str]:
    yield from ("| state | reason, as `Ready` has it | of |", "| --- | --- | --- |")
    by_state: dict[tuple[str, str, str], list[str]] = {}
    for file in records.files():
        state = state_of(records.load(file))
        by_state.setdefault((state.word, state.reason, state.more), []).append(state.kind)
    words = list(expected.TABLE)
    for word, reason, more in sorted(by_state, key=lambda each: (words.index(each[0]), each)):
        told = " ".join(part for part in (reason and f"`{reason}`", more.replace("-", " ")) if part)
        yield f"| {word} | {told} | {', '.join(by_state[word, reason, more])} |"
