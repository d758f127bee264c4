"""
Run the table: machines at the same time, the rows of one machine one after the other.

Most of a row is waiting, so several machines cost little more than one. What befalls the operator
or the cluster befalls every machine; such rows come last, each alone, and every machine is watched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial

from tests.e2e.faults.guard import Guard
from tests.e2e.faults.row import Measured, Row
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import walk

SetUp = Callable[[str], Stage]


class Lanes:
    """The rows under way; :meth:`result` waits for one."""

    def __init__(
        self, lanes: Mapping[str, Sequence[Row]], alone: Sequence[Row], set_up: SetUp
    ) -> None:
        """
        Args:
            lanes: rows by the machine that they are walked on.
            alone: rows that concern every machine.
            set_up: makes the stage on a machine.
        """
        self._lanes, self._alone, self._set_up = lanes, alone, set_up
        self._stages: dict[str, Stage] = {}
        self._guards: dict[str, Guard] = {}
        self._results: dict[str, Future[Measured]] = {
            row.id: Future() for row in [*(r for rows in lanes.values() for r in rows), *alone]
        }
        self._stop = threading.Event()
        self._open = ExitStack()
        self._main = threading.Thread(target=self._run, name="faults")

    def start(self) -> None:
        """Begin with every lane."""
        self._main.start()

    def stop(self) -> None:
        """Walk the rows under way to their end, and no other."""
        self._stop.set()
        self._main.join()
        self._open.close()

    def result(self, row: Row) -> Measured:
        """Give what came of the row, when it has been walked."""
        return self._results[row.id].result()

    def finished(self) -> Stage:
        """Give a stage when every row has been walked."""
        self._main.join()
        return next(iter(self._stages.values()))

    @property
    def stages(self) -> Mapping[str, Stage]:
        """The stages that have been set up, by machine."""
        return self._stages

    def _run(self) -> None:
        lanes = [
            threading.Thread(target=self._lane, args=(name, rows), name=name)
            for name, rows in self._lanes.items()
        ]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        for row in self._alone:
            self._walk_alone(row)

    def _lane(self, name: str, rows: Sequence[Row]) -> None:
        try:
            stage = self._set_up(name)
            guard = self._open.enter_context(Guard(stage))
        except BaseException as error:
            for row in rows:
                self._results[row.id].set_exception(error)
            self._stop.set()
            return
        self._stages[name], self._guards[name] = stage, guard
        for row in rows:
            self._settle(row, partial(walk, row, stage, guard))

    def _walk_alone(self, row: Row) -> None:
        def go() -> Measured:
            first = next(iter(sorted(self._stages)))
            for guard in self._guards.values():
                guard.look_anew()
            measured = walk(row, self._stages[first], self._guards[first])
            for name, guard in self._guards.items():
                measured.harm += [f"{name}: {what}" for what in guard.harm]
            return measured

        self._settle(row, go)

    def _settle(self, row: Row, go: Callable[[], Measured]) -> None:
        future = self._results[row.id]
        if self._stop.is_set():
            future.cancel()
            return
        try:
            future.set_result(go())
        except BaseException as error:
            future.set_exception(error)
