"""Argo CD's own program judges every recorded object, and does to them what our scripts say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit import argocd as built
from tests.health import derived, records
from tests.health.argocd import ArgoCD

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_TIMED = ("restart", "reconcile")
_WITH_ACTIONS = ("GameHost", "GameInstance")


@pytest.fixture(scope="module")
def argo_cd(tmp_path_factory: pytest.TempPathFactory) -> ArgoCD:
    """Argo CD's program, with our ConfigMap."""
    return ArgoCD(built.programs() / "argocd", tmp_path_factory.mktemp("argocd"))


def cases(name: str, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give the folder of each of Argo CD's own test files, and the cases that are in it."""
    for file in sorted(records.GROUP_FOLDER.glob(f"*/**/{name}")):
        for case in yaml.safe_load(file.read_text())[key]:
            yield file.parent, case


def test_every_record_has_the_health_that_its_case_says(argo_cd: ArgoCD) -> None:
    def wrong(each: tuple[Path, dict[str, Any]]) -> str:
        folder, case = each
        found = argo_cd.health(folder / case["inputPath"])
        # Argo CD shows the one as the other while an object is being deleted.
        wanted = {
            key: text for key, text in case["healthStatus"].items() if key != "deletionMessage"
        }
        return "" if found == wanted else f"{folder.name} {case['inputPath']}: {found}"

    told = list(cases("health_test.yaml", "tests"))
    assert {(folder / case["inputPath"]) for folder, case in told} == set(records.files())
    with ThreadPoolExecutor(2) as pool:
        assert [text for text in pool.map(wrong, told) if text] == []


def test_every_record_is_offered_what_has_an_effect_on_it(argo_cd: ArgoCD) -> None:
    def wrong(each: tuple[Path, dict[str, Any]]) -> str:
        folder, case = each
        found = argo_cd.actions(folder / case["inputPath"])
        return "" if found == case["result"] else f"{case['inputPath']}: {found}"

    told = list(cases("action_test.yaml", "discoveryTests"))
    assert {folder.parent.name for folder, _ in told} == set(_WITH_ACTIONS)
    with ThreadPoolExecutor(2) as pool:
        assert [text for text in pool.map(wrong, told) if text] == []


ACTIONS = list(cases("action_test.yaml", "actionTests"))


@pytest.mark.parametrize(
    ("folder", "case"), ACTIONS, ids=lambda each: each["action"] if isinstance(each, dict) else ""
)
def test_an_action_changes_what_it_should_and_nothing_else(
    argo_cd: ArgoCD, folder: Path, case: dict[str, str]
) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    made = dict(argo_cd.run_action(folder / case["inputPath"], case["action"]))
    if case["action"] in _TIMED:
        name = f"warlock.dev/{case['action']}"
        value = made["metadata"]["annotations"][name]
        assert _TIME.fullmatch(value)
        assert began <= datetime.fromisoformat(value) <= began + timedelta(seconds=60)
        made["metadata"]["annotations"][name] = derived.FROZEN
    assert made == records.load(folder / case["expectedOutputPath"])


def test_no_action_is_left_untried() -> None:
    scripts = {file.parent for file in records.GROUP_FOLDER.glob("*/actions/*/action.lua")}
    assert {folder / case["action"] for folder, case in ACTIONS} == scripts


def test_the_settings_are_taken_as_they_are(argo_cd: ArgoCD) -> None:
    assert argo_cd.validated().startswith("✅ resource-overrides")
