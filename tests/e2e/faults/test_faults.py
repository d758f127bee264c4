"""Every row of the fault table: it is told, it heals by itself in time, and harms nobody."""

from __future__ import annotations

import pytest

from tests.e2e.faults import rows
from tests.e2e.faults.row import Measured, Row


@pytest.mark.parametrize("row", rows.ROWS, ids=lambda row: row.id)
def test_a_fault_is_told_and_heals(row: Row, measured: Measured) -> None:
    if measured.failure is not None:
        raise measured.failure
    assert measured.harm == []
    assert measured.healed_seconds <= row.heals_seconds
