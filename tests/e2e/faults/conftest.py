"""The stages of the fault table, and what a run of it leaves: the table with its measurements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demokit.kubectl import Kubectl
from labkit import paths
from labkit.cluster import Cluster
from labkit.lab import Lab
from tests.conftest import QUICK, MakeHost, MakeOperator
from tests.e2e.conftest import empty_namespace, remove_objects
from tests.e2e.faults import rows, table
from tests.e2e.faults.api import Api
from tests.e2e.faults.lanes import Lanes
from tests.e2e.faults.row import Measured, Row
from tests.e2e.faults.stage import Stage
from tests.e2e.world import Machine

SPARE = "fault-spare"
TABLE = paths.REPOSITORY / "docs/faults.md"

SETTINGS = {
    "WARLOCK_UNKNOWN_GRACE_SECONDS": "2",
    "WARLOCK_PING_SECONDS": "0.5",
    "WARLOCK_PING_TIMEOUT_SECONDS": "3",
    "WARLOCK_AGENT_SILENCE_SECONDS": "5",
    "WARLOCK_CONNECT_TIMEOUT_SECONDS": "5",
    "WARLOCK_AGENT_START_TIMEOUT_SECONDS": "10",
    "WARLOCK_REQUEST_TIMEOUT_SECONDS": "20",
    "WARLOCK_HOST_LOCK_SECONDS": "2",
    "WARLOCK_BACKOFF_INITIAL_SECONDS": "0.5",
    "WARLOCK_BACKOFF_CAP_SECONDS": "2",
    "WARLOCK_API_RETRY_CAP_SECONDS": "2",
    "WARLOCK_INSTALL_TIMEOUT_SECONDS": "42",
    "WARLOCK_INTAKE_QUIET_SECONDS": "0.2",
}
"""Where a default would only make the table wait longer; ``docs/faults.md`` shows them."""

_MEASURED = pytest.StashKey[dict[str, Measured]]()


@pytest.fixture(scope="module")
def lanes(
    request: pytest.FixtureRequest,
    lab: Lab,
    kubectl: Kubectl,
    lab_hosts: MakeHost,
    operator_process: MakeOperator,
) -> Iterator[Lanes]:
    """The selected rows, under way; a test of one waits for it."""
    assert isinstance(lab.cluster, Cluster)
    wanted = {row.id for row in _selected(request)}
    sections = rows.SECTIONS.values()
    chosen = [(on, [row for row in all_ if row.id in wanted]) for on, all_ in sections]
    machines: dict[str, list[Row]] = {rows.FIRST: []}
    for on, some in chosen:
        if on != rows.ALONE and some:
            machines.setdefault(on, []).extend(some)
    alone = [row for on, some in chosen if on == rows.ALONE for row in some]
    kubectl("apply", "-k", paths.REPOSITORY / "manifests/games")
    spare = Machine(lab_hosts(SPARE))
    made = {name: Machine(lab_hosts(name)) for name in machines}
    settings = {**QUICK, **SETTINGS}
    operator = operator_process(settings)
    api = Api.of(lab.cluster)

    def set_up(name: str) -> Stage:
        return Stage.set_up(made[name], spare, lab, kubectl, api, operator, settings)

    started = Lanes(machines, alone, set_up)
    started.start()
    yield started
    started.stop()
    operator.start(settings)
    for stage in started.stages.values():  # a row that failed may have left it otherwise
        stage.restore_host()
    for stage in started.stages.values():
        empty_namespace(stage.namespace)
    kubectl("delete", "gamehosts", "--all", "--timeout=60s")
    operator.stop()
    remove_objects(kubectl)


@pytest.fixture
def measured(request: pytest.FixtureRequest, lanes: Lanes, row: Row) -> Measured:
    """What came of the row; kept for the table."""
    found = lanes.result(row)
    request.config.stash.setdefault(_MEASURED, {})[row.id] = found
    return found


def _selected(request: pytest.FixtureRequest) -> list[Row]:
    """Give the rows that this run was asked for."""
    mine = [item for item in request.session.items if isinstance(item, pytest.Function)]
    specs = [getattr(item, "callspec", None) for item in mine if item.module is request.module]
    return [spec.params["row"] for spec in specs if spec is not None]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was measured; with ``--write-table``, write it to ``docs/faults.md``."""
    found = config.stash.get(_MEASURED, {})
    if not found:
        return
    terminalreporter.section("fault table")
    for line in table.plain(found.values()):
        terminalreporter.write_line(line)
    if config.getoption("--write-table"):
        write(TABLE, found)
        terminalreporter.write_line(f"written to {TABLE}")


def write(file: Path, found: dict[str, Measured]) -> None:
    """Replace what stands below the mark by what was measured."""
    kept, mark, before = file.read_text().partition(table.MARK)
    sections = {title: some for title, (_, some) in rows.SECTIONS.items()}
    tables = table.markdown(sections, found, before)
    file.write_text(f"{kept}{mark}\n\n{table.settings({**QUICK, **SETTINGS})}{tables}")
