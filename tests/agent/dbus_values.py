"""Hypothesis strategies: D-Bus signatures, and values that fit them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from warlock_agent.marshal import Variant, split_signature

_INTEGERS = {"y": (0, 8), "n": (1, 16), "q": (0, 16), "i": (1, 32), "u": (0, 32), "h": (0, 32)}
_INTEGERS.update({"x": (1, 64), "t": (0, 64)})
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_BASIC = st.sampled_from("ynqiuhxtdbsog")


def _containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map(lambda one: f"a{one}"),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: f"({''.join(many)})"),
        st.tuples(_BASIC, inner).map(lambda pair: f"a{{{pair[0]}{pair[1]}}}"),
    )


types = st.recursive(st.one_of(_BASIC, st.just("v")), _containers, max_leaves=6)
signatures = st.lists(types, max_size=4).map("".join)


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Values of one complete type, as they are written."""
    code = kind[0]
    if code in _INTEGERS:
        signed, bits = _INTEGERS[code]
        low = -(2 ** (bits - 1)) if signed else 0
        return st.integers(low, 2 ** (bits - signed) - 1)
    if code == "(":
        return st.tuples(*map(values_of, split_signature(kind[1:-1])))
    if code == "a":
        return _array(kind[1:])
    simple: dict[str, st.SearchStrategy[Any]] = {
        "d": st.floats(allow_nan=False),
        "b": st.booleans(),
        "s": _TEXT,
        "o": _TEXT,
        "g": signatures,
    }
    return simple[code] if code in simple else st.deferred(_variants)


def _array(element: str) -> st.SearchStrategy[Any]:
    if element == "y":
        return st.binary(max_size=12)
    if element[0] == "{":
        return st.dictionaries(values_of(element[1]), values_of(element[2:-1]), max_size=3)
    return st.lists(values_of(element), max_size=3)


def _variants() -> st.SearchStrategy[Variant]:
    return _BASIC.flatmap(lambda kind: values_of(kind).map(lambda value: Variant(kind, value)))


def bodies() -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Give pairs of a signature and values for it."""

    def of(signature: str) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
        return st.tuples(st.just(signature), st.tuples(*map(values_of, split_signature(signature))))

    return signatures.flatmap(of)


def bare(value: Any) -> Any:
    """What is read back: a variant's value without its signature."""
    if isinstance(value, Variant):
        return bare(value.value)
    if isinstance(value, (tuple, list)):
        return type(value)(map(bare, value))
    if isinstance(value, dict):
        return {key: bare(one) for key, one in value.items()}
    return value
