"""D-Bus values: what is written is read back, and whatever else is no value but an error."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.agent.dbus_values import bare, bodies, signatures
from warlock_agent.marshal import (
    DBusProtocolError,
    Variant,
    marshal,
    split_signature,
)
from warlock_agent.unmarshal import unmarshal


@given(bodies())
def test_what_was_written_is_read_back(body: tuple[str, tuple[Any, ...]]) -> None:
    signature, values = body
    data = marshal(signature, values)
    assert unmarshal(signature, data) == (bare(values), len(data))


@given(bodies())
def test_every_shorter_text_is_an_error(body: tuple[str, tuple[Any, ...]]) -> None:
    signature, values = body
    data = marshal(signature, values)
    for length in range(len(data)):
        with pytest.raises(DBusProtocolError):
            unmarshal(signature, data[:length])


@given(bodies(), st.data())
def test_a_changed_byte_is_read_or_refused(
    body: tuple[str, tuple[Any, ...]], data: st.DataObject
) -> None:
    signature, values = body
    written = bytearray(marshal(signature, values))
    for _ in range(min(len(written), 3)):
        written[data.draw(st.integers(0, len(written) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DBusProtocolError):
        unmarshal(signature, bytes(written))


@given(signatures, st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(signature: str, data: bytes) -> None:
    with contextlib.suppress(DBusProtocolError):
        unmarshal(signature, data)


@given(st.text("a(){}yvsg", max_size=60))
def test_any_signature_is_cut_into_its_types_or_refused(text: str) -> None:
    try:
        types = split_signature(text)
    except DBusProtocolError:
        return
    assert "".join(types) == text
    assert all(split_signature(one) == [one] for one in types)


@pytest.mark.parametrize(
    "signature",
    (["a", "(", "()", "(s", "s)", "{sv}", "a{sv", "a{vs}", "a{s}", "a{sss}", "z"])
    + ["a" * 40 + "s", "(" * 40 + "s" + ")" * 40, "s" * 256],
)
def test_what_is_no_signature_is_refused(signature: str) -> None:
    with pytest.raises(DBusProtocolError):
        split_signature(signature)


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("y", (256,)),
        ("u", (-1,)),
        ("u", ("1",)),
        ("s", (1,)),
        ("s", ("a\0b",)),
        ("s", ("\ud800",)),
        ("s", ()),
        ("ss", ("a",)),
        ("(ss)", (("a",),)),
        ("a{ss}", (["a"],)),
        ("v", (Variant("ss", "a"),)),
        ("v", ("bare",)),
        ("g", ("(",)),
    ],
)
def test_a_value_that_does_not_fit_is_refused(signature: str, values: tuple[Any, ...]) -> None:
    with pytest.raises(DBusProtocolError):
        marshal(signature, values)


def test_layout_is_the_specification_s() -> None:
    # The example of "Marshaling Containers": an array with one 64-bit integer, padded after 4.
    assert marshal("at", [[5]]) == b"\x08\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0"
    assert marshal("yu", (1, 2)) == b"\x01\0\0\0\x02\0\0\0"
    assert marshal("s", ("foo",)) == b"\x03\0\0\0foo\0"


def test_an_empty_array_is_padded_to_its_first_element() -> None:
    data = marshal("a(s)u", ([], 7))
    assert data == b"\0\0\0\0\0\0\0\0\x07\0\0\0"
    assert unmarshal("a(s)u", data)[0] == ([], 7)


def test_variants_in_variants_end_somewhere() -> None:
    deep = Variant("s", "x")
    for _ in range(100):
        deep = Variant("v", deep)
    with pytest.raises(DBusProtocolError):
        marshal("v", (deep,))
    with pytest.raises(DBusProtocolError):
        unmarshal("v", b"\x01v\0" * 400)


def test_a_string_ends_where_it_says() -> None:
    assert unmarshal("s", b"\x03\0\0\0foo\0")[0] == ("foo",)
    for data in (b"\x03\0\0\0fooX", b"\x02\0\0\0foo\0"):
        with pytest.raises(DBusProtocolError):
            unmarshal("s", data)


def test_a_boolean_is_0_or_1() -> None:
    with pytest.raises(DBusProtocolError):
        unmarshal("b", b"\x02\0\0\0")
