"""A virtual machine with a kernel of its own, served by the operator's process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit.lab import Lab
from tests.conftest import MakeOperator
from tests.e2e.conftest import declare, kubectl, namespace, remove_objects, wait_host
from tests.e2e.world import Machine

__all__ = ["kubectl", "namespace"]

# Emulated, everything takes ten times as long as in a container.
BOOT_SECONDS = 300.0
_PATIENT = {
    "WARLOCK_CONNECT_TIMEOUT_SECONDS": "60",
    "WARLOCK_PING_TIMEOUT_SECONDS": "30",
    "WARLOCK_SAMPLE_SECONDS": "2",
}


@pytest.fixture(scope="session")
def machine(lab: Lab) -> Machine:
    """The machine, without the game's package: nothing that is run here needs one."""
    return Machine(lab.add_host("vm-a", kind="vm"))


@pytest.fixture(scope="module")
def operator(
    kubectl: Kubectl, machine: Machine, operator_process: MakeOperator
) -> Iterator[Operator]:
    """The operator, with the machine declared and reached."""
    declare(kubectl, machine)
    started = operator_process(_PATIENT)
    wait_host(kubectl, machine.name, BOOT_SECONDS)
    yield started
    kubectl("delete", "gamehosts", "--all", "--timeout=120s")
    started.stop()
    remove_objects(kubectl)
