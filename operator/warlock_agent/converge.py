"""
One pass: lock, look, plan, do, look again, answer. Called by :mod:`serve` and ``__main__``.

The one place that puts decisions (:mod:`authority`, :mod:`plan`, :mod:`guard`) and hands
(:mod:`observe`, :mod:`apply`) together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Optional

from . import authority, guard, plan
from .apply import SYSTEMD_ERRORS, Hands, apply, reason_of
from .board import Board
from .channel import TooLarge
from .files import FileError
from .ledger import HostBusy, LedgerUnreadable, locked
from .model import DesiredHost, ObservedHost, StepResult
from .observe import Observer
from .wire import Answer, Converge, Fault, Observe, Report, State

FAILED_AGAIN_SECONDS = 30
"""When a step failed and nothing else says when to look again; arbitrary."""

Send = Callable[[Answer], None]


class Quiet:
    """
    Remembers the last pass in which nothing was to be done and nothing was waited for.

    The same wish and the same host give the same plan; comparing them is several times cheaper.
    """

    def __init__(self) -> None:
        """Nothing was planned yet."""
        self._before: Optional[tuple[DesiredHost, ObservedHost]] = None
        self._planned = plan.Plan((), ())

    def plan(self, desired: DesiredHost, observed: ObservedHost) -> plan.Plan:
        """Give the plan, worked out anew only where something differs."""
        seen = desired, replace(observed, uptime_seconds=0)
        if seen == self._before:
            return self._planned
        planned = plan.plan(desired, observed)
        # Where something waits for a time, the plan depends on the clock as well.
        timeless = not (planned.steps or planned.next_pass_seconds or observed.retries)
        self._before, self._planned = (seen if timeless else None), planned
        return planned


@dataclass(frozen=True)
class Pass:
    """What passes are made with. stop: when set, a pass ends after the step that it is at."""

    observer: Observer
    hands: Hands
    board: Board
    stop: threading.Event
    quiet: Quiet = field(default_factory=Quiet)

    def observe(self, request: Observe, send: Send) -> None:
        """Answer with the host as it is."""
        self._answered(request.request, send, lambda: self._observe(request, send))

    def converge(self, request: Converge, send: Send) -> None:
        """
        Make the host so; answer with a Report, or a Fault when nothing was done.

        Raises:
            Interrupted: *stop* was set; nobody is left to be answered.
        """
        self._answered(request.request, send, lambda: self._locked(request, send))

    def _answered(self, number: int, send: Send, work: Callable[[], None]) -> None:
        try:
            work()
        except LedgerUnreadable as error:
            send(Fault(number, "LedgerUnreadable", str(error)))
        except TooLarge:
            pass  # answered
        except HostBusy as error:
            send(Fault(number, "HostBusy", str(error)))
        except SYSTEMD_ERRORS as error:
            send(Fault(number, "SystemdUnreachable", str(error)))
        except (FileError, OSError) as error:
            send(Fault(number, reason_of(error.errno, "AgentFailed"), str(error)))

    def _observe(self, request: Observe, send: Send) -> None:
        with self.board.truth:
            observed = self.observer.look()
            send(State(request.request, self.board.shortened(observed, request.remembers)))
            self.board.host_told(observed)

    def _locked(self, request: Converge, send: Send) -> None:
        with locked(request.lock_seconds, self.hands.root):
            # The clock of a pass starts when it may begin.
            began = time.monotonic()
            ledger = self.hands.ledger.read()
            denial = authority.check(request.authority, ledger, self.observer.machine_id)
            if denial is not None:
                send(Fault(request.request, denial.reason, denial.message))
                return
            accepted = authority.accept(request.authority, ledger)
            with self.board.truth:
                observed = self.observer.look(request.desired)
                planned = self.quiet.plan(request.desired, observed)
                if not planned.steps and accepted == ledger:  # the common case by far
                    self._report(request, planned, (), observed, began, send)
                    return
            objection = guard.violation(planned.steps, request.desired, ledger)
            if objection is not None:
                message = f"the plan was not carried out: {objection}"
                send(Fault(request.request, "AgentFailed", message))
                return
            results = apply(planned.steps, accepted, self.hands, self.stop)
            with self.board.truth:
                observed = self.observer.look(request.desired)
                self._report(request, planned, results, observed, began, send)

    def _report(
        self,
        request: Converge,
        planned: plan.Plan,
        results: tuple[StepResult, ...],
        observed: ObservedHost,
        began: float,
        send: Send,
    ) -> None:
        """Answer; the board's truth is held."""
        failed = any(result.outcome == "Failed" for result in results)
        soon = planned.next_pass_seconds
        send(
            Report(
                request.request,
                results,
                planned.refusals,
                self.board.shortened(observed, request.remembers),
                min(soon or FAILED_AGAIN_SECONDS, FAILED_AGAIN_SECONDS) if failed else soon,
                sum(r.step == "Reload" and r.outcome == "Done" for r in results),
                int((time.monotonic() - began) * 1000),
            )
        )
        self.board.host_told(observed)
