"""
Start a command again whenever it ends, with waits in between, as a kubelet does with a container.

The waits double from 1 to 30 seconds; a run of a minute or more makes the next wait short again.
Ended by SIGTERM or SIGINT: the command is asked to end first, and killed where it does not.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

FIRST_WAIT_SECONDS = 1.0
LAST_WAIT_SECONDS = 30.0
LONG_RUN_SECONDS = 60.0
END_SECONDS = 15.0  # the operator gives itself ten
POLL_SECONDS = 0.05
LOG_BYTES = 50 * 1024 * 1024

COMMAND_LOG, COMMAND_PID = "operator.log", "operator.pid"
OWN_LOG, OWN_PID = "supervisor.log", "supervisor.pid"


def next_wait(last_seconds: float, ran_seconds: float) -> float:
    """Give the wait in seconds after a run; *last_seconds* is the wait before it, 0: none."""
    if last_seconds == 0 or ran_seconds >= LONG_RUN_SECONDS:
        return FIRST_WAIT_SECONDS
    return min(last_seconds * 2, LAST_WAIT_SECONDS)


@dataclass
class Supervisor:
    """Keeps one command running; its files lie in *folder*."""

    folder: Path
    argv: Sequence[str]
    child: subprocess.Popen[bytes] | None = None
    ending: bool = False

    def run(self) -> int:
        """Run until a signal asks for the end; gives the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._note(OWN_PID, os.getpid())
        wait_seconds = 0.0
        while not self.ending:
            started = time.monotonic()
            status = self._run_once()
            if self.ending:
                break
            ran_seconds = time.monotonic() - started
            wait_seconds = next_wait(wait_seconds, ran_seconds)
            self._say(f"ended with {status} after {ran_seconds:.1f} s, again in {wait_seconds:g} s")
            self._rest(wait_seconds)
        self._say("ended as asked")
        return 0

    def _run_once(self) -> int:
        """Start the command and wait for its end, however long that takes."""
        with self._log() as output:
            self.child = subprocess.Popen(self.argv, stdout=output, stderr=subprocess.STDOUT)
        self._note(COMMAND_PID, self.child.pid)
        self._say(f"started {self.child.pid}")
        if self.ending:  # asked for between two runs, when there was no child to tell
            self.child.terminate()
        status = self._ended(self.child)
        self.child = None
        (self.folder / COMMAND_PID).unlink(missing_ok=True)
        return status

    def _ended(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for the end of *child*; kill it where it was asked to end and does not."""
        asked_at: float | None = None
        while (status := child.poll()) is None:
            time.sleep(POLL_SECONDS)
            if not self.ending:
                continue
            asked_at = asked_at or time.monotonic()
            if time.monotonic() - asked_at > END_SECONDS:
                child.kill()
        return status

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.ending = True
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)  # a stopped one would not hear of its end
            self.child.terminate()

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.ending and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)  # a signal does not end a longer sleep by itself

    def _log(self) -> IO[bytes]:
        """Open the command's log; one that has grown long is put aside, over the one before."""
        file = self.folder / COMMAND_LOG
        if file.exists() and file.stat().st_size > LOG_BYTES:
            file.replace(self.folder / f"{COMMAND_LOG}.1")
        return file.open("ab")

    def _note(self, name: str, pid: int) -> None:
        """Write a pid file whole, so that no reader finds half a number."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(f"{pid}\n")
        fresh.replace(self.folder / name)

    def _say(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with (self.folder / OWN_LOG).open("a") as log:
            log.write(f"{stamp} {text}\n")


def main(arguments: Sequence[str]) -> int:
    """``supervise --folder FOLDER -- COMMAND …``."""
    parser = argparse.ArgumentParser(prog="hack/supervise", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, required=True, help="for operator.log, operator.pid and our own"
    )
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    return Supervisor(chosen.folder, chosen.command).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
