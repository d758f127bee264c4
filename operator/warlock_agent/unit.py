"""
Our units as they are: what systemd says, and what their processes show.

The details of a unit are read again only when what systemd lists of it has changed, or when it has
signalled a change since. Called by :mod:`observe` and :mod:`watch`. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Optional

from . import journal
from .model import BoundSocket, ObservedUnit
from .process import Digests
from .systemd import (
    Event,
    ListedUnit,
    SignalsLost,
    Systemd,
    UnitChanged,
    UnitNew,
    UnitRemoved,
    UnitState,
)
from .units import pattern_of

JOURNAL_LINES = 10
JOURNALS_A_LOOK = 8
"""journalctl takes tens of milliseconds; when very many fail at once, the others are read later."""

Slots = tuple[tuple[str, int], ...]
Shown = tuple[str, str, str]


def patterns_of(units: Iterable[str]) -> tuple[str, ...]:
    """
    Give patterns that match *units*: one a template. systemd tries each pattern on each unit.
    """
    made = set()
    for unit in units:
        prefix, at, rest = unit.partition("@")
        made.add(f"{pattern_of(prefix)}@*.service" if at and rest else pattern_of(unit))
    return tuple(sorted(made))


def has_failed(active_state: str, sub_state: str) -> bool:
    """Say whether the unit's main process ended as it should not have."""
    return active_state == "failed" or sub_state.startswith("auto-restart")


def slots_by_unit(sockets: Iterable[BoundSocket]) -> dict[str, Slots]:
    """Give what each unit's processes have bound, sorted."""
    slots: dict[str, set[tuple[str, int]]] = {}
    for socket in sockets:
        if socket.unit:
            slots.setdefault(socket.unit, set()).add((socket.protocol, socket.port))
    return {unit: tuple(sorted(found)) for unit, found in slots.items()}


class UnitReader:
    """
    Reads units of one host; for one thread.

    unread_journals: units that failed, and whose last lines the last read left for a later one.
    """

    def __init__(
        self,
        systemd: Systemd,
        digests: Optional[Digests] = None,
        score_of: Callable[[str], Optional[int]] = lambda unit: None,
        read_journal: Callable[[str, str, int], tuple[str, ...]] = journal.last_lines,
    ) -> None:
        """
        Touch nothing yet.

        score_of: gives a unit's security score, where it is known. read_journal: gives the last
        lines of a unit's invocation.
        """
        self._systemd = systemd
        self._digests = digests or Digests()
        self._score_of = score_of
        self._read_journal = read_journal
        self._states: dict[str, tuple[Shown, UnitState]] = {}
        self._made: dict[str, tuple[UnitState, Slots, ObservedUnit]] = {}
        self._journals: dict[str, tuple[tuple[str, int, str], tuple[str, ...]]] = {}
        self._journals_left = JOURNALS_A_LOOK
        self.unread_journals: set[str] = set()

    def read(
        self,
        wanted: Sequence[str],
        listed: Mapping[str, ListedUnit],
        sockets: Iterable[BoundSocket],
    ) -> tuple[ObservedUnit, ...]:
        """
        Give each of *wanted*, in order; what is not listed is inactive.

        Args:
            listed: as systemd just gave it; :meth:`take` what it has signalled up to then before.
            sockets: all that are bound on this host.
        """
        shown = {unit: listed[unit] for unit in wanted if unit in listed}
        self._refresh(wanted, shown)
        self._journals_left = JOURNALS_A_LOOK
        self.unread_journals.clear()
        slots = slots_by_unit(sockets)
        return tuple(
            self._remembered(self._states[unit][1], slots.get(unit, ()))
            if unit in shown
            else ObservedUnit(unit, security_score_tenths=self._score_of(unit))
            for unit in wanted
        )

    def take(self, events: Iterable[Event]) -> None:
        """Forget what systemd has signalled a change of; it is read again when it is asked for."""
        for event in events:
            if isinstance(event, SignalsLost):
                self._states.clear()
            elif isinstance(event, (UnitChanged, UnitNew, UnitRemoved)):
                self._states.pop(event.unit, None)

    def _refresh(self, wanted: Sequence[str], shown: Mapping[str, ListedUnit]) -> None:
        for unit in wanted:
            if unit not in shown:
                self._states.pop(unit, None)
                self._made.pop(unit, None)
        stale = [row for row in shown.values() if not self._is_known(row)]
        if not stale:
            return
        running = [row for row in stale if row.active_state == "active"]
        states = self._systemd.running(running)
        states.update(self._systemd.details(r.unit for r in stale if r.unit not in states))
        self._states.update((unit, (_shown(shown[unit]), state)) for unit, state in states.items())

    def _is_known(self, row: ListedUnit) -> bool:
        known = self._states.get(row.unit)
        return known is not None and known[0] == _shown(row)

    def _remembered(self, state: UnitState, slots: Slots) -> ObservedUnit:
        """
        Give what :meth:`observed` gave last, while systemd has signalled nothing of the unit.

        Its main process is then the same as well, and need not be looked at again.
        """
        known = self._made.get(state.unit)
        if known is not None:
            of, bound, made = known
            score = self._score_of(state.unit)
            if (of is state, bound, made.security_score_tenths) == (True, slots, score):
                return made
        made = self.observed(state, slots)
        # A failure's last lines may come later, and so may a young process's environment.
        if made.digest is not None and not has_failed(state.active_state, state.sub_state):
            self._made[state.unit] = state, slots, made
        return made

    def observed(self, state: UnitState, slots: Slots, with_journal: bool = True) -> ObservedUnit:
        """Put together what systemd says of a unit and what its processes show."""
        active = state.active_state in ("active", "reloading")
        return ObservedUnit(
            unit=state.unit,
            active_state=state.active_state,
            sub_state=state.sub_state,
            main_pid=state.main_pid,
            result=state.result,
            exit_code=state.exit_code,
            exit_status=state.exec_main_status,
            stopped=state.stopped,
            restarts=state.n_restarts,
            since_seconds=state.state_change_usec // 1_000_000,
            active_uptime_seconds=state.active_enter_monotonic_usec // 1_000_000 if active else 0,
            digest=self._digests.of(state.main_pid),
            ports=slots,
            journal=self._journal(state) if with_journal else (),
            security_score_tenths=self._score_of(state.unit),
        )

    def _journal(self, state: UnitState) -> tuple[str, ...]:
        if state.stopped or not has_failed(state.active_state, state.sub_state):
            self._journals.pop(state.unit, None)
            return ()
        run = (state.invocation_id, state.n_restarts, state.active_state)
        known = self._journals.get(state.unit)
        if known is not None and known[0] == run:
            return known[1]
        if self._journals_left <= 0:
            self.unread_journals.add(state.unit)
            return ()
        self._journals_left -= 1
        lines = self._read_journal(state.unit, state.invocation_id, JOURNAL_LINES)
        self._journals[state.unit] = (run, lines)
        return lines


def _shown(listed: ListedUnit) -> Shown:
    return listed.load_state, listed.active_state, listed.sub_state
