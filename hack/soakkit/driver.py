"""Let a forecast happen: each thing in a thread of its own, at its time, undone at its time."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from soakkit.acts import DO, UNDO
from soakkit.causes import Causes
from soakkit.weather import Weather
from soakkit.world import World

_TICK_SECONDS = 1.0


class Driver:
    """Runs a forecast once. failures: what could not be done, which is no fault of the product."""

    def __init__(self, world: World, causes: Causes) -> None:
        self.failures: list[str] = []
        self.done: list[Weather] = []
        self._world = world
        self._causes = causes
        self._turns: defaultdict[tuple[str, int], threading.Lock] = defaultdict(threading.Lock)

    def run(self, forecast: Sequence[Weather], seconds: float, tick: Callable[[str], None]) -> None:
        """Let everything happen; return after *seconds*, when all has been undone."""
        began = time.monotonic()
        threads: list[threading.Thread] = []
        for weather in forecast:
            self._rest(began + weather.at_seconds, tick)
            thread = threading.Thread(target=self._happen, args=(weather,), name=str(weather))
            thread.start()
            threads.append(thread)
            tick(str(weather))
        self._rest(began + seconds, tick)
        for thread in threads:
            thread.join()

    def _rest(self, until: float, tick: Callable[[str], None]) -> None:
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _TICK_SECONDS))
            tick("")

    def _happen(self, weather: Weather) -> None:
        """Do and undo it; what comes next for the same one waits where this takes longer."""
        name = weather.kind.name
        try:
            with self._turns[weather.turn]:
                self._causes.note(weather)
                try:
                    DO[name](self._world, weather)
                    time.sleep(weather.lasts_seconds)
                finally:
                    if name in UNDO:
                        UNDO[name](self._world, weather)
            self.done.append(weather)
        except Exception as error:  # said at the end, with the seed; the rest goes on
            self.failures.append(f"{weather}: {error!r}")
