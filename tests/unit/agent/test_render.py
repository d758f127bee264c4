"""The managed files, byte for byte, and what systemd reads back from them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.hosts import GAMES, GUIDS, IDS, instance
from warlock_agent import names
from warlock_agent.render import (
    drop_in,
    environment_file,
    managed_files,
    quote_environment,
    quote_word,
    start_digest,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden/render"
USER = "wl-0123456789abcdef"
PRINTABLE = st.text(st.characters(exclude_categories=("C",)), max_size=20)


@pytest.mark.parametrize(("guid", "instance_id"), [(GUIDS[0], IDS[0]), (GUIDS[1], IDS[1])])
def test_every_managed_file_is_as_recorded(guid: str, instance_id: str) -> None:
    one = instance(guid, instance_id, env=(("SERVER_NAME", 'a "b" $c \\ `d`'),))
    game = GAMES[GUIDS.index(guid)]
    digest = start_digest(one, game, USER, "")
    said = "".join(
        f"==> {file.path} {file.kind} {file.mode:04o}\n{file.content}\n"
        for file in managed_files(one, game, USER, digest)
    )
    assert said == (GOLDEN / f"{game.name}.txt").read_text(encoding="utf-8")


def read_back(quoted: str) -> str:
    """A double-quoted value as systemd.exec(5), EnvironmentFile=, says that it is read."""
    assert quoted[0] == quoted[-1] == '"'
    body = quoted[1:-1]
    assert re.fullmatch(r'(?:[^\\"`$]|\\[\\"`$])*', body), body
    return re.sub(r'\\([\\"`$])', r"\1", body)


@given(PRINTABLE)
def test_a_value_is_read_back_as_it_was(value: str) -> None:
    assert read_back(quote_environment(value)) == value


@given(PRINTABLE)
def test_a_tenants_value_is_one_line_of_the_environment_file(value: str) -> None:
    one = instance(env=(("SERVER_NAME", value),), instance_name=value)
    lines = environment_file(one, "d").split("\n")
    found = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert read_back(found["SERVER_NAME"]) == read_back(found["WARLOCK_INSTANCE_NAME"]) == value
    assert len(lines) == len(environment_file(instance(), "d").split("\n"))


def word_read_back(word: str) -> str:
    """A word as systemd.service(5), COMMAND LINES, reads it, its references still in it."""
    if not word.startswith('"'):
        return word
    unquoted = re.sub(r'\\(["\\])', r"\1", word[1:-1])
    return unquoted.replace("%%", "%")


@given(st.text(st.sampled_from("ab ${}%\\\"';A_"), max_size=12))
def test_a_word_means_itself_but_for_references(word: str) -> None:
    read = word_read_back(quote_word(word))
    reference = re.compile(r"\$\{[A-Z_][A-Z0-9_]*\}")
    kept = reference.findall(word)
    literal = re.sub(r"\$\$", "$", reference.sub("\x01", read.replace("$$", "\x02")))
    assert literal.replace("\x02", "$") == reference.sub("\x01", word)
    assert list(reference.findall(read.replace("$$", "\x02"))) == kept


@given(PRINTABLE, PRINTABLE)
def test_no_string_of_a_tenant_reaches_a_unit_file(value: str, name: str) -> None:
    plain = instance()
    spoken = replace(plain, env=(("SERVER_NAME", value),), instance_name=name)
    service = GAMES[0].services[0]
    assert drop_in(spoken, service, USER) == drop_in(plain, service, USER)


def test_only_what_needs_a_restart_changes_the_digest() -> None:
    one, game = instance(), GAMES[0]
    before = start_digest(one, game, USER, "")
    service = replace(game.services[0], stop_signal="SIGTERM", stop_timeout_seconds=1)
    assert start_digest(replace(one, instance_name="x"), game, USER, "") == before
    assert start_digest(one, replace(game, services=(service,)), USER, "") == before
    others = [
        start_digest(one, game, USER, "again"),
        start_digest(replace(one, env=(("SERVER_NAME", "x"),)), game, USER, ""),
        start_digest(instance(number=28000), game, USER, ""),
        start_digest(one, replace(game, services=(replace(service, exec=("/x",)),)), USER, ""),
    ]
    assert len({before, *others}) == 5


def test_registration_is_the_path_without_a_newline() -> None:
    for instance_id, name in ((IDS[0], f"{GUIDS[0]}.app"), (IDS[1], f"{GUIDS[0]}.{IDS[1]}.app")):
        one = instance(GUIDS[0], instance_id)
        files = {f.path: f for f in managed_files(one, GAMES[0], USER, "d")}
        path = names.registration_path(GUIDS[0], instance_id)
        assert path == f"/var/lib/warlock/{name}"
        assert files[path].content == one.path


@pytest.mark.parametrize("name", ["TEXT", "lower", "_a1"])
def test_a_variable_is_a_reference_whatever_its_letters(name: str) -> None:
    assert quote_word(f"a ${{{name}}} $x") == f'"a ${{{name}}} $$x"'
