"""Last lines of a journal: anybody's text, made fit to be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warlock_agent import journal


@given(st.text(max_size=600))
def test_a_line_is_printable_and_bounded(text: str) -> None:
    line = journal.printable(text)
    assert line.isprintable()
    assert len(line) <= journal.MAX_LINE


def test_control_characters_and_colours_do_nothing() -> None:
    assert journal.printable("\x1b[31mred\x07\ttext\r") == " [31mred  text"
    assert journal.printable("Grüße ✓") == "Grüße ✓"


@given(st.binary(max_size=400), st.integers(1, 5))
def test_any_bytes_give_so_many_lines(data: bytes, count: int) -> None:
    lines = journal.lines_of(data, count)
    assert len(lines) <= count
    assert all(line.strip() for line in lines)


def test_the_last_lines_that_say_something_are_kept() -> None:
    assert journal.lines_of(b"a\n\nb\n   \nc\n", 2) == ("b", "c")


def test_an_invocation_is_asked_for_where_it_is_known() -> None:
    assert "_SYSTEMD_INVOCATION_ID=ab" in journal.command("a.service", "ab", 5)
    assert "--unit=a.service" in journal.command("a.service", "", 5)
