"""Three minutes of weather over four machines: nothing is harmed, everything comes back."""

from __future__ import annotations

import os

import pytest

from demokit import demo
from demokit.kubectl import Kubectl
from labkit import progress
from labkit.lab import Lab
from soakkit import report
from soakkit.outcome import Plan
from soakkit.run import run
from soakkit.weather import Kind
from tests.conftest import MakeHost
from tests.e2e.conftest import remove_objects

# Every kind of weather comes in its three minutes; WARLOCK_TEST_SEED lets others come.
PLAN = Plan(
    seed=int(os.environ.get("WARLOCK_TEST_SEED", "32")),
    seconds=180.0,
    hosts=4,
    per_host=5,
    every_seconds=2.0,
)


def test_weather_harms_nobody_and_everything_comes_back(
    lab: Lab, admin_kubectl: Kubectl, lab_hosts: MakeHost, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts = [lab_hosts(f"soak-{number}", preinstalled=False) for number in range(PLAN.hosts)]
    demo.install(lab, admin_kubectl)
    remove_objects(admin_kubectl)
    outcome = run(PLAN, lab, hosts, progress.silent)
    told = report.text(outcome)
    with capsys.disabled():
        print(f"\n{told}")
    assert outcome.wrong == [], f"to replay: {report.replay(outcome)}"
    assert outcome.happened == PLAN.forecast()


def test_an_end_without_a_cause_is_seen(
    lab: Lab, admin_kubectl: Kubectl, lab_hosts: MakeHost
) -> None:
    """The watch itself: kills that are said to end nothing are harm, each told with its machine."""
    demo.install(lab, admin_kubectl)
    remove_objects(admin_kubectl)
    kinds = [Kind("kill the game", "instance", 1)]
    plan = Plan(seed=1, seconds=10.0, hosts=1, per_host=2, every_seconds=3.0, kinds=kinds)
    outcome = run(plan, lab, [lab_hosts("soak-0", preinstalled=False)], progress.silent)
    assert outcome.happened
    assert len(outcome.wrong) == len(outcome.happened)
    assert all("soak-0: soak-00" in each and "without a cause" in each for each in outcome.wrong)
    assert f"--seed {plan.seed}" in report.text(outcome)
