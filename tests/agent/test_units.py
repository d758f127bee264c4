"""Names of units, in files, in patterns and as D-Bus objects."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import units

_NAMES = st.text("abcxyzABC0189:-_.\\@", min_size=1, max_size=40).map(
    lambda name: f"{name}.service"
)


@given(st.text(min_size=1, max_size=40))
def test_any_text_can_be_escaped_into_a_name_and_back(text: str) -> None:
    escaped = units.escape(text)
    assert units.valid_unit(f"a@{escaped}.service") or len(escaped) > 200
    assert units.unescape(escaped) == text


@given(_NAMES)
def test_a_unit_s_object_says_which_unit(name: str) -> None:
    path = units.object_path(name)
    assert units.unit_of_path(path) == name
    assert path.rpartition("/")[2].replace("_", "").isalnum()


@given(st.text("_0123456789abcdefxyz", max_size=20))
def test_any_path_is_a_unit_s_or_nobody_s(text: str) -> None:
    assert isinstance(units.unit_of_path("/org/freedesktop/systemd1/unit/" + text), str)
    assert units.unit_of_path("/org/freedesktop/systemd1/job/" + text) == ""


def test_escapes_are_systemd_s() -> None:
    # As systemd-escape(1) prints them.
    assert units.escape("/srv/a-b c") == "-srv-a\\x2db\\x20c"
    assert units.escape(".hidden") == "\\x2ehidden"
    assert units.object_path("a-b@5.service").endswith("/a_2db_405_2eservice")
    assert units.object_path("5.slice").endswith("/_35_2eslice")


@pytest.mark.parametrize(
    "name",
    ["a.service", "game@default.service", "a@.service", "a\\x2db.socket", "a-b:c_d.e.slice"],
)
def test_units_are_valid(name: str) -> None:
    assert units.valid_unit(name)


@pytest.mark.parametrize(
    "name",
    [
        *("", ".service", "a", "a.exe", "@a.service", "a b.service", "a/b.service"),
        *("../a.service", "a\n.service", "ä.service", "a" * 260 + ".service"),
        *("a.service;b", "-.", "a.service "),
    ],
)
def test_others_are_not(name: str) -> None:
    assert not units.valid_unit(name)


def test_a_pattern_matches_its_unit_alone() -> None:
    # systemd's fnmatch(3) takes backslashes off; Python's does not, so only the stars are tried.
    assert fnmatch.translate(units.pattern_of("a@b.service")) == fnmatch.translate("a@b.service")
    assert units.pattern_of("a\\x2db*[?].service") == "a\\\\x2db\\*\\[\\?].service"
