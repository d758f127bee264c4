"""
What every suite on real parts may ask for: a lab, its hosts, kubectl, the operator's process.

One lab a test run, made when the first test asks for it; hosts are added on demand and stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.host import Host
from labkit.lab import Lab
from tests import labs

# A run that everybody has to pass tries the same examples each time; the search for new ones is
# WARLOCK_TEST_PROFILE=thorough. Hosts are large values; Hypothesis's health checks are for small.
settings.register_profile(
    "ci",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "thorough", parent=settings.get_profile("ci"), max_examples=500, derandomize=False
)
settings.load_profile(os.environ.get("WARLOCK_TEST_PROFILE", "ci"))

_LAB = pytest.StashKey[str]()
_LOGS = pytest.StashKey[Path]()


class MakeHost(Protocol):
    """Gives the host of that name, made or started where needed."""

    def __call__(
        self, name: str, *, suite: str = "bookworm", preinstalled: bool = True
    ) -> Host: ...


class MakeOperator(Protocol):
    """Starts an operator and waits until it is ready; *settings* are WARLOCK_ variables."""

    def __call__(
        self, settings: dict[str, str] | None = None, *, name: str = "operator", wait: bool = True
    ) -> Operator: ...


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab with a control plane; ``lab_hosts`` adds hosts."""
    with labs.own_lab() as made:
        request.config.stash[_LAB] = made.name
        yield made
        if request.session.testsfailed and (kept := labs.keep_logs(made.name)):
            request.config.stash[_LOGS] = kept


@pytest.fixture(scope="session")
def kubeconfig(lab: Lab) -> Path:
    """An administrator's kubeconfig."""
    return lab.kubeconfig


@pytest.fixture(scope="session")
def admin_kubectl(lab: Lab) -> Kubectl:
    """The administrator's kubectl."""
    assert lab.cluster is not None
    return Kubectl(lab.cluster.kubectl, lab.kubeconfig)


@pytest.fixture(scope="session")
def lab_hosts(lab: Lab) -> MakeHost:
    """Make hosts by name; ``preinstalled``: with OpenArena's package, its own service masked."""

    def make(name: str, *, suite: str = "bookworm", preinstalled: bool = True) -> Host:
        host = lab.add_host(name, suite=suite, preinstalled=preinstalled)
        host.plug()
        return host

    return make


@pytest.fixture(scope="session")
def lab_host(lab_hosts: MakeHost) -> Host:
    """One host with the game's package."""
    return lab_hosts("game-a")


@pytest.fixture(scope="module")
def operator_process(lab: Lab, admin_kubectl: Kubectl) -> Iterator[MakeOperator]:
    """Start operators under exactly their ServiceAccount; they end with the module."""
    started: dict[str, Operator] = {}

    def start(
        settings: dict[str, str] | None = None, *, name: str = "operator", wait: bool = True
    ) -> Operator:
        if name not in started:
            started[name] = Operator(lab, admin_kubectl, name, len(started))
        operator = started[name]
        operator.start({**QUICK, **(settings or {})})
        if wait:
            operator.wait_ready()
        return operator

    yield start
    for operator in started.values():
        operator.stop()


QUICK = {
    "WARLOCK_STATUS_MEASUREMENT_SECONDS": "1",
    "WARLOCK_STATUS_MEASUREMENTS_PER_SECOND": "50",
    "WARLOCK_QUERY_SECONDS": "2",
    "WARLOCK_SAMPLE_SECONDS": "5",
    "WARLOCK_LEASE_DURATION_SECONDS": "4",
    "WARLOCK_LEASE_RENEW_SECONDS": "3",
    "WARLOCK_LEASE_RETRY_SECONDS": "0.5",
    "WARLOCK_LOG_LEVEL": "debug",
}
"""Settings of tests that would otherwise wait; the rest is what a Deployment has."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what writes a measured table into the documentation, and what records states."""
    parser.addoption(
        "--write-states",
        action="store_true",
        help="record each state that has no record below manifests/argo-cd, and what follows of it",
    )
    parser.addoption(
        "--write-table",
        action="store_true",
        help="write docs/faults.md from this run",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the logs of a run with failures are."""
    if kept := config.stash.get(_LOGS, None):
        terminalreporter.write_line(f"logs of operator, control plane and hosts: {kept}")
