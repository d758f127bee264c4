"""
Every version of every object that this run has seen, as other programs judge it.

Behind all others: what they did is what is judged. What a user does to an object is done here once
more, so that the states of it are there when these tests run alone.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import argocd, kstatus
from tests.e2e.conftest import LOOSE, UNRECORDED, plain_game, wait_host
from tests.e2e.world import Machine, Namespace, Object, is_true, reason, wait_for
from tests.health import derived, expected, records
from tests.health.argocd import ArgoCD
from tests.health.states import State, state_of
from tests.health.watch import Watch
from tests.health.witness import Witness
from warlock_agent import names

PAUSED = "warlock.dev/paused"


def test_the_states_that_a_user_brings_about(
    kubectl: Kubectl, operator: Operator, machine: Machine, namespace: Namespace
) -> None:
    namespace.instance("arena")
    namespace.wait_running("arena")
    namespace.patch("arena", {"spec": {"env": [{"name": "SERVER_NAME", "value": "another"}]}})
    namespace.wait_running("arena")
    namespace.annotate("arena", paused="true")
    namespace.wait("arena", lambda found: reason(found) == "Paused", "paused")
    namespace.annotate("arena", paused=None)
    namespace.wait_running("arena")
    kubectl("annotate", "gamehost", machine.name, f"{PAUSED}=true")
    namespace.wait("arena", lambda found: reason(found) == "Paused", "paused with its host")
    kubectl("annotate", "gamehost", machine.name, f"{PAUSED}-")
    wait_host(kubectl, machine.name)
    namespace.wait_running("arena")
    namespace.patch("arena", {"spec": {"state": "Stopped"}})
    namespace.wait_ready("arena")
    assert namespace.get("arena")["status"]["state"] == "Stopped"
    namespace.patch("arena", {"spec": {"state": "Running"}})
    namespace.wait_running("arena")
    namespace.instance("nowhere", host="no-such-host")
    namespace.wait_stalled("nowhere", "HostNotFound")
    namespace.delete("arena")


def test_a_server_that_ends_by_itself_recovers(
    namespace: Namespace, machine: Machine, watches: dict[str, Watch]
) -> None:
    namespace.instance("arena")
    namespace.wait_running("arena")
    pid = machine.main_pid()
    machine.run("kill", "-9", str(pid))
    namespace.wait(
        "arena",
        lambda found: is_true(found, "Ready") and found["status"]["services"][0]["mainPID"] != pid,
        "another process runs",
    )

    def words() -> set[str]:
        found = (version for watch in watches.values() for version in watch.versions())
        return {state_of(v).word for v in found if v["metadata"].get("namespace") == namespace.name}

    wait_for(lambda: "recovering" in words(), 10.0, "it has been seen to recover", words)
    namespace.delete("arena")


def test_a_new_version_that_ends_at_once_never_recovers(
    kubectl: Kubectl, machine: Machine, namespace: Namespace, watches: dict[str, Watch]
) -> None:
    """What was Ready is the version before: a bad one must not look Healthy on its account."""
    game = plain_game(["/bin/sleep", "1000"])
    kubectl.apply(game)
    try:
        namespace.instance("rolled", guid=game["spec"]["guid"])
        namespace.wait_running("rolled")
        game["spec"]["services"][0]["exec"] = ["/bin/sh", "-c", "exit 3"]
        kubectl.apply(game)
        namespace.wait_stalled("rolled", "CrashLoop", 60.0)

        def seen() -> list[Object]:
            found = list(watches["gameinstances"].versions())
            return [v for v in found if v["metadata"].get("namespace") == namespace.name]

        wait_for(lambda: "CrashLoop" in {reason(v) for v in seen()}, 10.0, "all has been seen")
        assert "Recovering" not in {reason(v) for v in seen()}
        namespace.delete("rolled")
    finally:
        kubectl("-n", namespace.name, "delete", "gameinstances", "--all", "--timeout=60s")
        kubectl("delete", "game", game["metadata"]["name"])


# Its world takes a while to be saved.
SLOW_TO_STOP = ["/bin/sh", "-c", "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"]


def test_what_takes_long_to_stop_is_not_called_stopped_before(
    kubectl: Kubectl, machine: Machine, namespace: Namespace
) -> None:
    game = plain_game(SLOW_TO_STOP)
    kubectl.apply(game)
    service = game["spec"]["services"][0]["name"]
    unit = names.unit_name(service, "default")
    try:
        namespace.instance("slow", guid=game["spec"]["guid"])
        namespace.wait_running("slow")
        namespace.patch("slow", {"spec": {"state": "Stopped"}})
        found = namespace.wait_ready("slow")
        assert found["status"]["state"] == "Stopped"
        assert machine.show(unit, "ActiveState")["ActiveState"] in ("inactive", "failed")
        # Started by hand it is not as declared, nor is it while it is stopped again.
        machine.run("systemctl", "start", unit)
        namespace.wait("slow", lambda each: not is_true(each, "Ready"), "it is not as declared")
        wait_for(lambda: not machine.main_pid(service=service), 30.0, "it is stopped again")
        namespace.wait_ready("slow")
        assert machine.show(unit, "ActiveState")["ActiveState"] in ("inactive", "failed")
        namespace.delete("slow")
    finally:
        kubectl("-n", namespace.name, "delete", "gameinstances", "--all", "--timeout=60s")
        kubectl("delete", "game", game["metadata"]["name"])


def test_a_game_that_contradicts_itself_is_told(kubectl: Kubectl, operator: Operator) -> None:
    game = plain_game(["/bin/true", "${NOT_DECLARED}"])
    name = game["metadata"]["name"]
    kubectl.apply(game)
    try:
        wait_for(
            lambda: is_true(kubectl.get("game", name), "Stalled"), 30.0, f"Game {name}: Stalled"
        )
    finally:
        kubectl("delete", "game", name)


@pytest.fixture
def versions(request: pytest.FixtureRequest, watches: dict[str, Watch]) -> list[Object]:
    """Every version of every object that our schema has served so far, kind by kind."""
    loose = request.config.stash.get(LOOSE, set())
    seen = (version for watch in watches.values() for version in watch.versions())
    found = [each for each in seen if each["metadata"].get("namespace") not in loose]
    print(f"{len(found)} versions, {sum(watch.gaps for watch in watches.values())} gaps")
    assert {each["kind"] for each in found} == {"Game", "GameHost", "GameInstance"}
    return found


def test_argo_cd_says_what_it_should_of_every_state_a_record_or_not(
    request: pytest.FixtureRequest, versions: list[Object], tmp_path: Path
) -> None:
    """Chance may bring about a state that no run before has seen: it is judged all the same."""
    examples: dict[State, Object] = {}
    for version in versions:
        examples.setdefault(state_of(version), version)
    if request.config.getoption("--write-states"):
        for state in records.missing(examples):
            records.write(state, examples[state])
        for file, text in derived.derived().items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    argo_cd, file = ArgoCD(argocd.programs() / "argocd", tmp_path), tmp_path / "object.yaml"
    for state in records.missing(examples):
        found = records.sanitized(examples[state])
        file.write_text(records.text(found))
        wanted = expected.health(found)
        wanted.pop("deletionMessage", None)  # shown as the message while it is being deleted
        assert argo_cd.health(file) == wanted, state
        if state.kind != "Game":
            offered = [each["name"] for each in argo_cd.actions(file)]
            assert offered == expected.actions(found), state
        request.config.stash.setdefault(UNRECORDED, []).append(records.file_of(state).name)


def test_no_two_conditions_exclude_each_other(versions: list[Object]) -> None:
    found = [each for each in versions if state_of(each).word == "contradiction"]
    assert found == []


def test_kstatus_says_of_every_version_what_it_should(versions: list[Object]) -> None:
    answers = list(kstatus.compute(versions))
    wrong = [
        f"{version['kind']} {version['metadata']['name']} {state_of(version)}: {answer}"
        for version, answer in zip(versions, answers, strict=True)
        if answer.status != expected.kstatus(version)
    ]
    assert wrong == []
    said = Counter(answer.status for answer in answers)
    assert {"Current", "InProgress", "Failed", "Terminating"} <= set(said), said


def test_nothing_is_current_when_it_is_new(versions: list[Object]) -> None:
    first: dict[str, Object] = {}
    for version in versions:
        first.setdefault(version["metadata"]["uid"], version)
    made_here = [each for each in first.values() if each["metadata"]["generation"] == 1]
    assert made_here
    said = {answer.status for answer in kstatus.compute(made_here)}
    assert said <= {"InProgress", "Terminating"}, said


def test_nothing_is_current_before_its_machine_is_as_declared(witness: Witness) -> None:
    wait_for(lambda: witness.idle, 30.0, "the machines have been asked")
    wrong = [each for each in witness.seen if each.wrong]
    assert wrong == []
    assert len(witness.seen) > witness.gone, f"{witness.gone} could not be asked any more"
