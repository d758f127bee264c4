"""
The last lines that a unit wrote, for the message of a failure. Starts journalctl; only on failures.

Called by observe and watch. What a game writes is anybody's text: bounded, and made printable.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_LINE = 300
_MAX_BYTES = 512 * 1024


def printable(text: str) -> str:
    """Make text safe to show on one line: no control characters, no escapes, bounded."""
    clean = "".join(char if char.isprintable() else " " for char in text).rstrip()
    return clean if len(clean) <= MAX_LINE else clean[: MAX_LINE - 1] + "…"


@dataclass(frozen=True)
class Row:
    """One entry. own: the unit's process wrote it, not systemd; invocation may be empty."""

    own: bool
    invocation: str
    pid: str
    text: str


def parse_rows(data: bytes, unit: str) -> list[Row]:
    """Read the journal's JSON, an object a line; what is none (cut off) is left out."""
    rows = []
    for line in data.split(b"\n"):
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict):
            own = fields.get("_SYSTEMD_UNIT") == unit
            invocation = fields.get("_SYSTEMD_INVOCATION_ID" if own else "INVOCATION_ID")
            text = printable(_text(fields.get("MESSAGE")))
            if text:
                rows.append(Row(own, str(invocation or ""), str(fields.get("_PID")), text))
    return rows


def _text(message: Any) -> str:
    """Read a MESSAGE: a string, numbers where it is no plain text, null where it is too long."""
    if isinstance(message, list):
        return bytes(n for n in message if isinstance(n, int) and 0 <= n < 256).decode(
            "utf-8", "replace"
        )
    return message if isinstance(message, str) else ""


def pick(rows: Sequence[Row], invocation_id: str, count: int) -> tuple[str, ...]:
    """
    Give the last lines of one invocation; without an id, of the unit.

    | what there is                     | what is given                                        |
    |-----------------------------------|------------------------------------------------------|
    | the process's lines, with the id  | those, and lines of the same processes without one   |
    | its lines, but without any id     | those of the process that wrote last                 |
    | systemd's lines alone             | those with the id                                    |

    The journal looks the id up when a line arrives: a process that crashes at once is gone by then.
    """
    own = [row for row in rows if row.own]
    mine = [row for row in own if not invocation_id or row.invocation == invocation_id]
    nameless = [row for row in own if not row.invocation]
    pids = {row.pid for row in mine} or {row.pid for row in nameless[-1:]}
    kept = [row for row in own if row in mine or (not row.invocation and row.pid in pids)]
    if not kept:
        kept = [row for row in rows if not invocation_id or row.invocation == invocation_id]
    return tuple(row.text for row in kept[-count:])


def command(unit: str, count: int) -> list[str]:
    """Ask for the last entries of a unit, and of systemd about it."""
    fields = "MESSAGE,_PID,_SYSTEMD_UNIT,_SYSTEMD_INVOCATION_ID,INVOCATION_ID"
    options = ["--no-pager", "--quiet", "--output=json", f"--output-fields={fields}"]
    return ["journalctl", *options, f"--lines={4 * count + 20}", f"--unit={unit}"]


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
            command(unit, count),
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
    return pick(parse_rows(data, unit), invocation_id, count)


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
