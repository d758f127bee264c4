"""The whole table: sections, and the machine that each is walked on; see :mod:`lanes`."""

from __future__ import annotations

from tests.e2e.faults import (
    rows_agent,
    rows_cluster,
    rows_files,
    rows_install,
    rows_machine,
    rows_network,
    rows_objects,
    rows_operator,
    rows_ssh,
    rows_systemd,
)
from tests.e2e.faults.row import Row

ALONE = ""
"""In place of a machine: what concerns every one of them."""
FIRST = "fault-a"
"""The machine that those are walked on."""

SECTIONS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "SSH and keys": (FIRST, rows_ssh.ROWS),
    "Network": ("fault-b", rows_network.ROWS),
    "Files": ("fault-d", rows_files.ROWS),
    "systemd": ("fault-c", rows_systemd.ROWS),
    "Installs": (FIRST, rows_install.ROWS),
    "The agent": ("fault-d", rows_agent.ROWS),
    "Objects": ("fault-d", rows_objects.ROWS),
    "The machine": ("fault-c", rows_machine.ROWS),
    "Objects that all need": (ALONE, rows_objects.ALONE),
    "The operator": (ALONE, rows_operator.ROWS),
    "The cluster": (ALONE, rows_cluster.ROWS),
}

ROWS: tuple[Row, ...] = tuple(row for _, rows in SECTIONS.values() for row in rows)
