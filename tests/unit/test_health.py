"""What Argo CD and kstatus are tested with is current and whole, and so is the table of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from customizations import CONFIG_MAP, config_map
from labkit import paths
from tests.health import derived, expected, records
from tests.health.states import condition, state_of

RECORDS = records.files()
IDS = [f"{file.parent.parent.name}-{file.stem}" for file in RECORDS]


@pytest.mark.parametrize("file", RECORDS, ids=IDS)
def test_a_record_is_called_what_it_is(file: Path) -> None:
    found = records.load(file)
    assert records.file_of(state_of(found)) == file
    assert records.sanitized(found) == found


def test_every_word_of_the_table_has_a_record() -> None:
    assert {state_of(records.load(file)).word for file in RECORDS} == set(expected.TABLE)


def test_what_follows_from_the_records_is_current(request: pytest.FixtureRequest) -> None:
    made = derived.derived()
    if request.config.getoption("--write-states"):
        for file, text in made.items():
            file.write_text(text)
    old = [str(file) for file, text in made.items() if file.read_text() != text]
    assert old == [], "hack/test tests/unit/test_health.py --write-states"


def test_every_script_is_in_the_config_map() -> None:
    data = yaml.safe_load((paths.REPOSITORY / CONFIG_MAP).read_text())["data"]
    told = yaml.safe_load(config_map(paths.REPOSITORY))["data"]
    assert data == told
    for kind in records.kinds():
        folder = records.GROUP_FOLDER / kind
        health = data[f"resource.customizations.health.warlock.dev_{kind}"]
        assert health == (folder / "health.lua").read_text()
        for script in folder.glob("actions/*/action.lua"):
            actions = yaml.safe_load(data[f"resource.customizations.actions.warlock.dev_{kind}"])
            by_name = {each["name"]: each["action.lua"] for each in actions["definitions"]}
            assert by_name[script.parent.name] == script.read_text()


def test_a_message_of_bad_news_says_where_to_read_on() -> None:
    told = [records.load(file) for file in RECORDS if file.stem.startswith("stalled-")]
    assert told
    for found in told:
        first = condition(found, "Stalled")["message"].splitlines()[0]
        assert "docs/troubleshooting.md#" in first
