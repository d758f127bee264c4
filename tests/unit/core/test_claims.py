"""Claims: one winner a thing, and the holder before everybody."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.worlds import entry_of, instance
from warlock_agent.model import Ledger
from warlock_operator.core.claims import Claims, Want, in_order_of_right
from warlock_operator.errors import HeldByAnother, PathTaken


@st.composite
def wants(draw: st.DrawFn) -> list[Want]:
    return [
        Want(
            f"uid-{at}",
            f"games/{at}",
            draw(st.sampled_from(["g/a", "g/b", f"g/{at}"])),
            draw(st.sampled_from(["/opt/x", "/opt/x/y", "/opt/xy", f"/opt/{at}"])),
            (draw(st.sampled_from(["u@a.service", f"u@{at}.service"])),),
            tuple(draw(st.sets(st.tuples(st.just("UDP"), st.integers(1, 3)), max_size=2))),
        )
        for at in range(draw(st.integers(0, 5)))
    ]


def winners_of(wanted: list[Want], ledger: Ledger) -> list[Want]:
    claims = Claims(ledger)
    return [want for want in in_order_of_right(wanted, claims) if claims.take(want) is None]


@given(wants())
def test_a_thing_has_exactly_one_winner(wanted: list[Want]) -> None:
    winners = winners_of(wanted, Ledger())
    things = [thing for want in winners for thing in want.things()]
    assert len(things) == len(set(things))
    for one in winners:
        assert not any(other.path.startswith(one.path + "/") for other in winners)
    for loser in [want for want in wanted if want not in winners]:
        others = [w for w in winners if set(w.things()) & set(loser.things())]
        nested = [
            w for w in winners if (w.path + "/").startswith(loser.path + "/")
            or (loser.path + "/").startswith(w.path + "/")
        ]  # fmt: skip
        assert others or nested


@given(wants(), st.data())
def test_the_ledgers_holder_wins_whatever_its_age(wanted: list[Want], data: st.DataObject) -> None:
    if not wanted:
        return
    raw = instance("holder", instance_id="held", path="/opt/x")
    ledger = Ledger(instances=(entry_of(raw, 1),))
    entry = ledger.instances[0]
    holder = Want("uid", "games/holder", entry.key, "/opt/x", (), (("UDP", 1),))
    at = data.draw(st.integers(0, len(wanted)))
    winners = winners_of([*wanted[:at], holder, *wanted[at:]], ledger)
    assert holder in winners
    assert not any(("UDP", 1) in want.ports for want in winners if want != holder)


@given(wants(), st.randoms(use_true_random=False))
def test_what_the_ledger_holds_is_refused_in_any_order(
    wanted: list[Want], chance: random.Random
) -> None:
    ledger = Ledger(instances=(entry_of(instance("gone", path="/opt/x"), 1),))
    for order in (wanted, chance.sample(wanted, len(wanted))):
        for want in winners_of(order, ledger):
            assert not want.path.startswith("/opt/x/")
            assert want.path != "/opt/x"
            assert ("UDP", 1) not in want.ports


def test_a_loser_is_told_who_has_it() -> None:
    claims = Claims(Ledger())
    assert claims.take(Want("1", "games/a", "g/a", "/opt/x", ())) is None
    lost = claims.take(Want("2", "games/b", "g/b", "/opt/x/y", ()))
    assert isinstance(lost, PathTaken)
    assert "games/a" in str(lost)


def test_an_identity_of_another_object_is_held_by_another() -> None:
    entry = entry_of(instance("a", namespace="first"), 27960)
    claims = Claims(Ledger(instances=(entry,)))
    lost = claims.take(Want("2", "second/a", entry.key, entry.path, ()))
    assert isinstance(lost, HeldByAnother)
    assert "first/a" in str(lost)
