"""
The last lines that a unit wrote, for the message of a failure. Starts journalctl; only on failures.

Called by observe and watch. What a game writes is anybody's text: bounded, and made printable.
"""

from __future__ import annotations

import contextlib
import os
import time

MAX_LINE = 300
_MAX_BYTES = 64 * 1024


def printable(text: str) -> str:
    """Make text safe to show on one line: no control characters, no escapes, bounded."""
    clean = "".join(char if char.isprintable() else " " for char in text).rstrip()
    return clean if len(clean) <= MAX_LINE else clean[: MAX_LINE - 1] + "…"


def lines_of(data: bytes, count: int) -> tuple[str, ...]:
    """Give the last *count* lines that say something."""
    lines = (printable(line) for line in data.decode("utf-8", "replace").split("\n"))
    return tuple([line for line in lines if line][-count:])


def command(unit: str, invocation_id: str, count: int) -> list[str]:
    """Ask for what the unit wrote in one invocation (and systemd of it), or at all."""
    argv = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={count}"]
    if invocation_id:
        return [*argv, f"_SYSTEMD_INVOCATION_ID={invocation_id}"]
    return [*argv, f"--unit={unit}"]


def last_lines(
    unit: str, invocation_id: str = "", count: int = 5, timeout_seconds: float = 5.0
) -> tuple[str, ...]:
    """
    Give the last lines of a unit's journal, oldest first; none where there is no journal.

    invocation_id: 32 hex digits, so that lines of an earlier run are not taken for this one's.
    """
    import subprocess

    try:
        process = subprocess.Popen(
            command(unit, invocation_id, count),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return ()
    assert process.stdout is not None
    try:
        data = _read_until(process.stdout.fileno(), time.monotonic() + timeout_seconds)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()
        process.stdout.close()
    return lines_of(data, count)


def _read_until(descriptor: int, deadline: float) -> bytes:
    """Read to the end, a deadline or the size limit, whichever comes first; keep the last bytes."""
    import select

    data = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0 or not poll.poll(remaining * 1000):
            return data
        chunk = os.read(descriptor, _MAX_BYTES)
        if not chunk:
            return data
        data = (data + chunk)[-_MAX_BYTES:]
