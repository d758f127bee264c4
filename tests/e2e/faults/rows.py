"""The whole table: sections, and the machine that each is walked on; see :mod:`lanes`."""

from __future__ import annotations

from tests.e2e.faults import (
    rows_network,
    rows_ssh,
)
from tests.e2e.faults.row import Row

ALONE = ""
"""In place of a machine: what concerns every one of them."""
FIRST = "fault-a"
"""The machine that those are walked on."""

SECTIONS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "SSH and keys": (FIRST, rows_ssh.ROWS),
    "Network": ("fault-b", rows_network.ROWS),
}

ROWS: tuple[Row, ...] = tuple(row for _, rows in SECTIONS.values() for row in rows)
