"""
What the lab tells while it works: events, and a console that draws them.

Whoever drives the lab from Python may pass any function of one ``Event`` instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Literal

_BAR_CELLS = 24
_LINE_EVERY_SECONDS = 15.0  # without a terminal: a sign of life, not a flood


@dataclass(frozen=True)
class Event:
    """One thing to tell; ``fraction`` is 0 to 1, or None where the end is not known."""

    kind: Literal["begin", "update", "end", "fail", "note"]
    title: str
    detail: str = ""
    fraction: float | None = None
    elapsed_seconds: float = 0.0


Callback = Callable[[Event], None]


def silent(event: Event) -> None:
    """Tell nothing."""


class Step:
    """A running step: ``update`` it as often as you like, the console thins out."""

    def __init__(self, title: str, tell: Callback) -> None:
        self.title = title
        self._tell = tell
        self._started = time.monotonic()
        self.detail = ""

    def update(self, detail: str, fraction: float | None = None) -> None:
        """Tell how far the step is."""
        self.detail = detail
        self._tell(Event("update", self.title, detail, fraction, self.elapsed_seconds))

    def finished(self, kind: Literal["end", "fail"]) -> None:
        """Tell that the step is over."""
        self._tell(Event(kind, self.title, self.detail, None, self.elapsed_seconds))

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started


@contextmanager
def step(title: str, tell: Callback) -> Iterator[Step]:
    """Tell begin and end of what happens inside; set ``detail`` for the last word."""
    current = Step(title, tell)
    tell(Event("begin", title))
    try:
        yield current
    except BaseException:
        current.finished("fail")
        raise
    current.finished("end")


def note(text: str, tell: Callback) -> None:
    """Tell a line that belongs to no step."""
    tell(Event("note", text))


class Console:
    """Draws events: a moving line on a terminal, plain lines elsewhere."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty()
        self._last_line = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Draw one event."""
        if event.kind == "note":
            self._line(f"      {event.title}")
        elif event.kind in ("end", "fail"):
            mark = "ok" if event.kind == "end" else "FAILED"
            tail = f"  {event.detail}" if event.detail else ""
            self._line(f"{mark:>6} {event.title}  {event.elapsed_seconds:.1f} s{tail}")
        elif self._moving:
            self._stream.write(f"\r\x1b[K{_drawn(event)[:110]}")
            self._stream.flush()
        elif event.kind == "begin":
            self._last_line = time.monotonic()
        elif time.monotonic() - self._last_line > _LINE_EVERY_SECONDS:
            self._line(_drawn(event))

    def _line(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}\n" if self._moving else f"{text}\n")
        self._stream.flush()
        self._last_line = time.monotonic()


def _drawn(event: Event) -> str:
    """Return ``... title [#####.....] 42 % 12 s detail``."""
    parts = [f"   ... {event.title}"]
    if event.fraction is not None:
        share = min(max(event.fraction, 0.0), 1.0)
        filled = int(share * _BAR_CELLS)
        parts.append(f"[{'#' * filled}{'.' * (_BAR_CELLS - filled)}] {share:4.0%}")
    parts += [f"{event.elapsed_seconds:.0f} s", event.detail]
    return " ".join(part for part in parts if part)
