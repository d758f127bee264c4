"""Allocation: a port is given once, and never moves."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from warlock_operator.core.ports import Pool, PortNeed, Slot, allocate

NUMBERS = st.integers(100, 106)
PROTOCOLS = st.sampled_from(["UDP", "TCP"])
POOL = Pool(((100, 102), (104, 105)), frozenset({101}))


@st.composite
def needs(draw: st.DrawFn) -> list[PortNeed]:
    count = draw(st.integers(0, 6))
    preferred = st.none() | NUMBERS
    return [PortNeed(f"uid-{at}/game", draw(PROTOCOLS), draw(preferred)) for at in range(count)]


HELD = st.dictionaries(st.sampled_from([f"uid-{at}/game" for at in range(6)]), NUMBERS)
TAKEN = st.sets(st.tuples(PROTOCOLS, NUMBERS), max_size=4)


@given(needs(), HELD, TAKEN)
def test_no_port_is_given_twice_or_given_though_it_is_taken(
    wanted: list[PortNeed], held: Mapping[str, int], taken: set[Slot]
) -> None:
    given_ = allocate(wanted, held, POOL, taken)
    slots = [(need.protocol, given_[need.claim]) for need in wanted if need.claim in given_]
    assert len(slots) == len(set(slots))
    assert not set(slots) & taken


@given(needs(), HELD, TAKEN)
def test_a_held_port_never_moves(
    wanted: list[PortNeed], held: Mapping[str, int], taken: set[Slot]
) -> None:
    given_ = allocate(wanted, held, POOL, taken)
    rivals = [(need.protocol, held[need.claim]) for need in wanted if need.claim in held]
    for need in wanted:
        slot = (need.protocol, held.get(need.claim, 0))
        if need.claim in held and slot not in taken and rivals.count(slot) == 1:
            assert given_[need.claim] == held[need.claim]


@given(needs(), HELD, TAKEN)
def test_only_numbers_of_the_pool_are_given_anew_and_the_preferred_one_first(
    wanted: list[PortNeed], held: Mapping[str, int], taken: set[Slot]
) -> None:
    given_ = allocate(wanted, held, POOL, taken)
    slots = {(need.protocol, given_[need.claim]) for need in wanted if need.claim in given_}
    for need in wanted:
        number = given_.get(need.claim)
        if number is None:
            assert all((need.protocol, n) in slots | taken for n in POOL.numbers())
        elif number != held.get(need.claim):
            assert number in POOL
            slot = (need.protocol, need.preferred or 0)
            free = slot[1] in POOL and slot not in slots | taken
            assert number == need.preferred or not free


@given(needs(), HELD, TAKEN, st.randoms(use_true_random=False))
def test_what_all_hold_does_not_depend_on_their_order(
    wanted: list[PortNeed], held: Mapping[str, int], taken: set[Slot], chance: random.Random
) -> None:
    once = allocate(wanted, held, POOL, taken)
    mixed = chance.sample(wanted, len(wanted))
    assert allocate(mixed, once, POOL, taken) == once
