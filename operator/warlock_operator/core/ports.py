"""Which port an instance gets. Pure; what is held is read from the host on every pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Slot = tuple[str, int]
"""Protocol and number."""


@dataclass(frozen=True)
class PortNeed:
    """
    A port to be given. claim: ``<uid>/<port name>``, unique.

    preferred: the number that is tried first, or None.
    """

    claim: str
    protocol: str
    preferred: int | None = None


@dataclass(frozen=True)
class Pool:
    """Numbers that may be given. ranges: first and last, both included, in order of use."""

    ranges: tuple[tuple[int, int], ...]
    reserved: frozenset[int] = frozenset()

    def __contains__(self, number: int) -> bool:
        return number not in self.reserved and any(a <= number <= b for a, b in self.ranges)

    def numbers(self) -> Iterable[int]:
        """Every number of the pool, in order."""
        for first, last in self.ranges:
            for number in range(first, last + 1):
                if number not in self.reserved:
                    yield number


def allocate(
    needs: Sequence[PortNeed], held: Mapping[str, int], pool: Pool, taken: Iterable[Slot]
) -> dict[str, int]:
    """
    Give every need one port of *pool*; a port once held never moves.

    Args:
        needs: in the order of right: the first gets what several want.
        held: ports as the host's ledger has them, by claim. Holding wins over order, and over a
            pool that no longer contains it.
        pool: what may be given.
        taken: what nobody may be given: asked for by number, held by others, bound by a stranger.

    Returns:
        A port a claim; a claim is absent where nothing is left for it. With all ports given to
        the same order of needs, equal inputs give an equal answer.
    """
    used = set(taken)
    given: dict[str, int] = {}
    for need in needs:
        number = held.get(need.claim)
        if number is not None and (need.protocol, number) not in used:
            given[need.claim] = number
            used.add((need.protocol, number))
    for need in needs:
        if need.claim in given:
            continue
        number = _first_free(need, pool, used)
        if number is not None:
            given[need.claim] = number
            used.add((need.protocol, number))
    return given


def _first_free(need: PortNeed, pool: Pool, used: set[Slot]) -> int | None:
    preferred = need.preferred
    if preferred is not None and preferred in pool and (need.protocol, preferred) not in used:
        return preferred
    return next((n for n in pool.numbers() if (need.protocol, n) not in used), None)
