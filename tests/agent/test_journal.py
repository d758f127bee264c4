"""Last lines of a journal: anybody's text, made fit to be shown."""

from __future__ import annotations

import json

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


def _row(text: str, invocation: str, pid: int = 7, *, own: bool = True) -> bytes:
    key = "_SYSTEMD_INVOCATION_ID" if own else "INVOCATION_ID"
    fields = {"MESSAGE": text, "_PID": str(pid), key: invocation}
    fields["_SYSTEMD_UNIT"] = "a.service" if own else "init.scope"
    return json.dumps(fields).encode()


def _lines(*rows: bytes, invocation: str = "b", count: int = 5) -> tuple[str, ...]:
    return journal.pick(journal.parse_rows(b"\n".join(rows), "a.service"), invocation, count)


@given(st.binary(max_size=400))
def test_any_bytes_are_read(data: bytes) -> None:
    journal.parse_rows(data, "a.service")


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists), st.text())
def test_any_message_is_read(message: object, invocation: str) -> None:
    data = json.dumps({"MESSAGE": message, "_SYSTEMD_INVOCATION_ID": invocation}).encode()
    assert all(row.text.isprintable() for row in journal.parse_rows(data, "a.service"))


def test_a_journal_that_is_cut_off_is_read_up_to_there() -> None:
    data = b"\n".join([_row("one", "b"), _row("two", "b")])
    for length in range(len(data)):
        rows = journal.parse_rows(data[:length], "a.service")
        assert [row.text for row in rows] in ([], ["one"])


def test_the_lines_of_this_invocation_are_given_and_no_older_ones() -> None:
    rows = [_row("older", "a"), _row("one", "b"), _row("", "b"), _row("two", "b")]
    assert _lines(*rows) == ("one", "two")
    assert _lines(*rows, count=1) == ("two",)
    assert _lines(*rows, invocation="") == ("older", "one", "two")


def test_what_a_process_wrote_as_it_crashed_is_its_own_although_no_id_says_so() -> None:
    rows = [_row("older", "", 6), _row("one", "", 7), _row("two", "", 7)]
    assert _lines(*rows) == ("one", "two")
    assert _lines(_row("older", "", 6), _row("one", "b", 7), _row("two", "", 7)) == ("one", "two")


def test_where_the_process_wrote_nothing_systemd_says_what_happened() -> None:
    said = [_row("older", "a", 1, own=False), _row("can't execute", "b", 1, own=False)]
    assert _lines(*said) == ("can't execute",)
    assert _lines(*said, _row("one", "b")) == ("one",)


def test_bytes_that_are_no_text_come_as_numbers() -> None:
    rows = b'{"MESSAGE": [27, 91, 82, 255], "_SYSTEMD_UNIT": "a.service"}'
    assert [row.text for row in journal.parse_rows(rows, "a.service")] == [" [R\ufffd"]
