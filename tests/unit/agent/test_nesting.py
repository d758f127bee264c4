"""Directories inside others: what is found is what comparing each with each would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from warlock_agent.nesting import Directories

PARTS = st.lists(st.sampled_from(["a", "b", "a-b", "ab", "a b"]), min_size=1, max_size=4)
PATHS = PARTS.map(lambda parts: "/" + "/".join(parts))
WHATEVER = st.one_of(PATHS, st.text(alphabet="/ab-", max_size=6))
"""A ledger that somebody has edited may say anything."""
HOLDERS = st.sampled_from(["one", "two", "three"])


@given(st.lists(st.tuples(WHATEVER, HOLDERS)), PATHS, HOLDERS)
def test_who_is_in_the_way_is_found_as_if_each_were_compared_with_each(
    held: list[tuple[str, str]], path: str, asker: str
) -> None:
    directories = Directories()
    holders: dict[str, str] = {}
    for one, holder in held:
        directories.take(one, holder)
        holders.setdefault(one, holder)
    others = {
        holder
        for one, holder in holders.items()
        if holder != asker
        and (one == path or one.startswith(path + "/") or path.startswith(one + "/"))
    }
    found = directories.in_the_way(path, asker)
    assert found in others if others else found == ""


def test_the_one_that_has_it_comes_before_the_outer_and_that_before_the_inner() -> None:
    directories = Directories()
    for path in ("/srv/a/b", "/srv/a", "/srv"):
        directories.take(path, path)
    assert directories.in_the_way("/srv/a", "me") == "/srv/a"
    assert directories.in_the_way("/srv/a", "/srv/a") == "/srv"
    assert directories.in_the_way("/srv", "/srv") == "/srv/a"
    assert directories.in_the_way("/srv-a", "me") == ""
