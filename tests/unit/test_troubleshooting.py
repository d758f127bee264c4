"""Every reason has an entry in docs/troubleshooting.md, and every entry a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from warlock_operator.api.conditions import POINTED, TROUBLESHOOTING
from warlock_operator.api.names import ConditionType, Kind, Reason
from warlock_operator.errors import BY_REASON

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / TROUBLESHOOTING).read_text()
ENTRIES = dict(re.findall(r"^### (\S+)\n\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S))


def test_every_reason_has_an_entry_and_every_entry_a_reason() -> None:
    assert sorted(ENTRIES) == sorted({*BY_REASON, *Reason})
    assert len(re.findall(r"^### ", TEXT, re.M)) == len(ENTRIES)


@pytest.mark.parametrize("reason", sorted(ENTRIES))
def test_an_entry_says_which_conditions_of_which_kind_carry_it(reason: str) -> None:
    shown = re.match(r"\*([^*]+)\*", ENTRIES[reason])
    assert shown, "the line in italics is missing"
    words = set(re.findall(r"\w+", shown[1]))
    assert words & {*Kind, "All"}
    assert words & set(ConditionType)
    assert len(ENTRIES[reason]) > len(shown[0]) + 20, "it says nothing"


def test_a_message_points_to_what_is_wrong_alone() -> None:
    assert set(POINTED) == {*BY_REASON, "NotSeen", "Recovering"}
