"""
Git alone: Argo CD's own programs sync our sample repository, and servers run, change and go.

One Application, told in order: each test begins where the one before has left it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from demokit import account, demo, overlay
from demokit.kubectl import Kubectl
from labkit.gitops import POLL_SECONDS, ArgoCD
from labkit.lab import Lab
from tests.conftest import QUICK, MakeOperator
from tests.e2e import delivery, scenes
from tests.e2e.delivery import SAMPLE, Application, Repository, health, operation, resource_health
from tests.e2e.world import (
    SERVICE,
    Machine,
    Namespace,
    Object,
    condition,
    ready,
    reason,
    wait_for,
)
from tests.page import Typist
from warlock_agent import names

ARGOCD_MANAGER = "argocd-controller"
HOST = "host-a"
ARENA, PRACTICE, EXTRA = "arena", "practice", "extra"
PRACTICE_ID = "8b5c1d9e-0d7a-4b52-9c7e-2f5a3c1e4d60"
EXTRA_ID = "3f1d0a52-6a0e-4a55-8a70-51f3a8a4c0de"
GAME_FILE = Path("manifests/games/openarena.yaml")
WRITES = 120  # an instance writes at most one measurement a minute: two hours' worth
FIRST_SECONDS = 120.0
LOST_SOON = {"WARLOCK_PING_SECONDS": "1", "WARLOCK_PING_TIMEOUT_SECONDS": "3"}


@pytest.fixture(scope="module")
def argocd(lab: Lab) -> Iterator[ArgoCD]:
    """Argo CD beside the lab's control plane."""
    started = lab.add_argocd()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def repository(lab: Lab, argocd: ArgoCD, machine: Machine) -> Repository:
    """The sample repository for the one machine, not yet committed."""
    return Repository.seeded(lab.folder / "clone", argocd, machine)


@pytest.fixture(scope="module")
def delivered(
    lab: Lab,
    kubectl: Kubectl,
    machine: Machine,
    argocd: ArgoCD,
    repository: Repository,
    operator_process: MakeOperator,
) -> Iterator[Application]:
    """The Application, applied to a cluster that knows none of our kinds."""
    kubectl("delete", "crd", *(f"{kind}.warlock.dev" for kind in demo.KINDS))
    secret = overlay.key_secret(machine.host, account.NAMESPACE)
    secret["metadata"]["name"] = f"{HOST}-ssh"
    kubectl.apply(secret)
    repository.commit("all of it")
    operator = operator_process(LOST_SOON, wait=False)
    made = delivery.application(repository)
    app = Application(made["metadata"]["name"], kubectl, argocd)
    kubectl.apply(made)
    yield app
    _remove_applications(kubectl)
    demo.install(lab, kubectl)
    operator.start(QUICK)
    _remove_objects(kubectl)


def _remove_applications(kubectl: Kubectl) -> None:
    """Have Argo CD let go of everything and remove nothing."""
    gone = ("delete", "--ignore-not-found", "--timeout=60s")
    for name in ("game-servers", "warlock-operator"):
        argv = ("-n", "argocd", "patch", "application", name, "--type=merge")
        kubectl.attempt(*argv, "-p", '{"metadata":{"finalizers":null}}')
        kubectl("-n", "argocd", *gone, "application", name)


def _remove_objects(kubectl: Kubectl) -> None:
    """Have everything go that is left, so that the suites behind find the cluster as before."""
    gone = ("delete", "--ignore-not-found", "--timeout=60s")
    kubectl("-n", "games", *gone, "gameinstances", "--all")
    kubectl(*gone, "gamehosts,games", "--all")
    kubectl(*gone, "namespace", "games")


@pytest.fixture
def games(kubectl: Kubectl) -> Namespace:
    """The namespace that the sample makes."""
    return Namespace("games", kubectl)


def unit(instance_id: str) -> str:
    return names.unit_name(SERVICE, instance_id)


def now_synced(app: Application, repository: Repository) -> Object:
    """Give the Application once what git has by now is synced."""
    return app.wait_synced(repository.git("rev-parse", "HEAD").strip())


def asks_to_prune(revision: str, found: Object) -> bool:
    """Whether the sync of that commit waits for a confirmation."""
    running = operation(found)
    of = running.get("operation", {}).get("sync", {}).get("revision")
    return of == revision and "pruning confirmation" in running.get("message", "")


def port_of(found: Object) -> int:
    return int(found["status"]["ports"][0]["port"])


def test_it_is_healthy_only_when_the_servers_run(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    # Healthy alone is not enough: an Application that has never been compared says that, too.
    revision = repository.git("rev-parse", "HEAD").strip()
    delivered.refresh()
    deadline = time.monotonic() + FIRST_SECONDS
    seen: list[str] = []
    while not (delivery.synced(found := delivered.get(), revision) and health(found) == "Healthy"):
        seen.append(health(found))
        assert time.monotonic() < deadline, found.get("status", found)
    # Read after it was called Healthy, and nothing that was Ready has been touched since.
    assert all(ready(games.get(name)) for name in (ARENA, PRACTICE))
    assert "Progressing" in seen
    assert "Degraded" not in seen
    for name, identity in ((ARENA, "default"), (PRACTICE, PRACTICE_ID)):
        pid = machine.main_pid(identity)
        assert pid in machine.bound(port_of(games.get(name)))
        assert games.get(name)["status"]["services"][0]["mainPID"] == pid
    # One attempt, since the kinds are of an earlier wave.
    assert operation(found).get("retryCount", 0) == 0


def test_the_waves_came_in_order(delivered: Application, kubectl: Kubectl) -> None:
    def made(*argv: str) -> list[str]:
        return [each["metadata"]["creationTimestamp"] for each in kubectl.items(*argv)]

    kinds = [kubectl.get("crd", f"{kind}.warlock.dev") for kind in demo.KINDS]
    first = [each["metadata"]["creationTimestamp"] for each in kinds]
    second = [*made("games.warlock.dev"), *made("gamehosts")]
    third = made("gameinstances", "-A")
    assert max(first) <= min(second)
    assert max(second) <= min(third)


def test_nothing_differs_whoever_works_it_out(delivered: Application) -> None:
    """Neither what the schema fills in, nor what we write, is a difference to either of them."""
    assert delivered.diff() == ""
    assert delivered.diff("--server-side-diff") == ""
    delivered.annotate(compare_options="ServerSideDiff=true", refresh="hard")
    delivered.wait(
        lambda found: "argocd.argoproj.io/refresh" not in found["metadata"]["annotations"],
        "it was compared anew",
    )
    found = delivered.wait_healthy()
    assert {each["status"] for each in found["status"]["resources"]} == {"Synced"}
    delivered.annotate(compare_options="")


def test_nobody_but_git_writes_into_a_spec(delivered: Application, kubectl: Kubectl) -> None:
    objects = kubectl.get(
        "games.warlock.dev,gamehosts,gameinstances", "-A", "--show-managed-fields"
    )["items"]
    assert len(objects) == 4
    for each in objects:
        fields = each["metadata"]["managedFields"]
        assert {f["manager"] for f in fields if "f:spec" in f["fieldsV1"]} == {ARGOCD_MANAGER}
        assert any(f.get("subresource") == "status" for f in fields)


def test_two_hours_of_statuses_wake_nobody(
    delivered: Application, lab: Lab, kubectl: Kubectl, games: Namespace
) -> None:
    """Players come and go, as the operator would write it: the counter grows by polling alone."""
    before, syncs, begun = delivered.reconciles(), delivered.syncs(), time.monotonic()
    with delivered.watched() as said:
        for number in range(WRITES):
            patch = {"status": {"players": {"online": number % 8, "max": 16}}}
            kubectl(
                *("-n", games.name, "patch", "gameinstance", ARENA, "--subresource=status"),
                *("--type=merge", "-p", json.dumps(patch)),
            )
    took = time.monotonic() - begun
    grown = delivered.reconciles() - before
    print(f"{WRITES} status writes in {took:.1f} s: compared {grown} times")
    assert grown <= took / POLL_SECONDS + 2
    assert said.column(0) == {"Synced"}
    assert said.column(1) == {"Healthy"}
    assert len(said.column(2)) == 1
    assert delivered.syncs() == syncs


def test_crashes_and_restarts_of_the_operator_are_no_drift(
    delivered: Application, machine: Machine, operator_process: MakeOperator, games: Namespace
) -> None:
    operator = operator_process()
    syncs, before, begun = delivered.syncs(), delivered.reconciles(), time.monotonic()
    with delivered.watched() as said:
        for _ in range(2):
            pid = machine.main_pid()
            machine.run("kill", "-9", str(pid))
            games.wait(ARENA, partial(_runs_other, pid), "it runs again")
        operator.stop()
        operator.start({**QUICK, **LOST_SOON})
        operator.wait_ready()
        delivered.wait_healthy()
    took, grown = time.monotonic() - begun, delivered.reconciles() - before
    print(f"two crashes and a restart in {took:.1f} s: compared {grown} times")
    assert grown <= took / POLL_SECONDS + 2
    assert said.column(0) == {"Synced"}
    assert said.column(1) == {"Healthy"}
    assert len(said.column(2)) == 1
    assert delivered.syncs() == syncs


def _runs_other(pid: int, found: Object) -> bool:
    return ready(found) and found["status"]["services"][0]["mainPID"] not in (0, pid)


def test_a_commit_adds_an_instance(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    file = SAMPLE / "site/instances.yaml"
    objects = repository.read(file)
    extra = json.loads(json.dumps(objects[1]))
    extra["metadata"]["name"] = EXTRA
    extra["spec"] |= {"instance_id": EXTRA_ID, "instance_name": "Extra"}
    pids = machine.main_pids()
    repository.write(file, [*objects, extra])
    repository.commit("one more")
    now_synced(delivered, repository)
    delivered.wait_healthy()
    assert ready(games.get(EXTRA))
    assert machine.main_pid(EXTRA_ID) in machine.bound(port_of(games.get(EXTRA)))
    assert pids.items() <= machine.main_pids().items()


def test_a_commit_changes_a_port_and_another_stops_a_server(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    pids = machine.main_pids()
    ports = [{"name": "game", "port": 28100}]
    repository.edit_instance(EXTRA, lambda spec: spec.update(ports=ports))
    repository.commit("another port")
    now_synced(delivered, repository)
    games.wait(EXTRA, lambda found: ready(found) and port_of(found) == 28100, "on its new port")
    assert machine.main_pid(EXTRA_ID) in machine.bound(28100)

    repository.edit_instance(EXTRA, lambda spec: spec.update(state="Stopped"))
    repository.commit("closed for tonight")
    now_synced(delivered, repository)
    delivered.wait_healthy()
    assert machine.main_pid(EXTRA_ID) == 0
    del pids[unit(EXTRA_ID)]
    assert pids.items() <= machine.main_pids().items()


def test_a_change_of_the_game_rolls_what_it_concerns_and_a_revert_rolls_it_back(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    """Bots by default: one server says how many it wants itself, the other does not."""
    pids = machine.main_pids()

    def more_bots(game: Object) -> None:
        next(v for v in game["spec"]["variables"] if v["name"] == "BOTS")["default"] = "5"

    repository.edit(GAME_FILE, more_bots)
    for step, bots in ((repository.commit, "5"), (None, "4")):
        pid = machine.main_pid()
        _ = step("more bots") if step else repository.revert()
        now_synced(delivered, repository)
        games.wait(ARENA, partial(_runs_other, pid), f"with {bots} bots")
        assert machine.environment(machine.main_pid())["BOTS"] == bots
        assert machine.main_pid(PRACTICE_ID) == pids[unit(PRACTICE_ID)]
        delivered.wait_healthy()


def test_drift_of_an_object_is_healed_by_argocd_and_of_a_machine_by_us(
    delivered: Application, machine: Machine, games: Namespace
) -> None:
    syncs, pid = delivered.syncs(), machine.main_pid(PRACTICE_ID)
    games.patch(PRACTICE, {"spec": {"env": [{"name": "MAP", "value": "oa_dm1"}]}})
    games.wait(
        PRACTICE,
        lambda found: ready(found) and found["spec"]["env"][0]["value"] == "oa_dm4",
        "git's map again",
    )
    delivered.wait_healthy()
    wait_for(lambda: machine.main_pid(PRACTICE_ID), 30.0, "it runs")
    assert machine.environment(machine.main_pid(PRACTICE_ID))["MAP"] == "oa_dm4"
    print(f"healed; its process is {'the same' if machine.main_pid(PRACTICE_ID) == pid else 'new'}")
    assert delivered.syncs() == syncs + 1

    generation = games.get(PRACTICE)["metadata"]["generation"]
    (file,) = [path for path in scenes.own_files(machine, PRACTICE_ID) if path.endswith(".env")]
    was = machine.read(file)
    with delivered.watched() as said:
        machine.shell(f"sed -i s/oa_dm4/oa_dm2/ {file}; systemctl stop {unit(PRACTICE_ID)}")
        games.annotate(PRACTICE, reconcile="now")
        wait_for(lambda: machine.read(file) == was, 30.0, "its file is put back")
        wait_for(lambda: machine.main_pid(PRACTICE_ID), 30.0, "it runs again")
        delivered.wait_healthy()
    assert said.column(0) == {"Synced"}
    assert delivered.syncs() == syncs + 1
    assert games.get(PRACTICE)["metadata"]["generation"] == generation


def test_a_machine_out_of_sight_holds_nothing_else_up(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    """Its host is Unknown, which a wave would wait for without ApplyOutOfSyncOnly."""
    pid = machine.main_pid(PRACTICE_ID)
    machine.host.unplug()
    try:
        delivered.wait(
            lambda found: resource_health(found, "GameHost", HOST).get("status") == "Unknown",
            "the host is Unknown",
        )
        repository.edit_instance(EXTRA, lambda spec: spec.update(instance_name="Extra Two"))
        repository.commit("another name")
        now_synced(delivered, repository)
        assert games.get(EXTRA)["spec"]["instance_name"] == "Extra Two"
        assert health(delivered.get()) != "Degraded"
    finally:
        machine.host.plug()
    delivered.wait_healthy(90.0)
    assert machine.main_pid(PRACTICE_ID) == pid


def test_a_commit_that_drops_a_server_waits_for_somebody(
    delivered: Application, repository: Repository, machine: Machine, games: Namespace
) -> None:
    file = SAMPLE / "site/instances.yaml"
    pid, found = machine.main_pid(PRACTICE_ID), games.get(PRACTICE)
    directory = found["status"]["path"]
    objects = repository.read(file)
    repository.write(file, [o for o in objects if o["metadata"]["name"] != PRACTICE])
    repository.commit("oops")
    revision = repository.git("rev-parse", "HEAD").strip()
    delivered.refresh()
    waiting = delivered.wait(partial(asks_to_prune, revision), "it asks for a confirmation")
    assert operation(waiting)["phase"] == "Running"
    print(f"it says: {operation(waiting)['message']}")
    # Looked at anew and still not dropped.
    before = delivered.reconciles()
    wait_for(lambda: delivered.reconciles() > before, 30.0, "it is compared again")
    assert "deletionTimestamp" not in games.get(PRACTICE)["metadata"]
    assert machine.main_pid(PRACTICE_ID) == pid

    delivered.confirm()
    games.wait(PRACTICE, lambda gone: not gone, "it is pruned", 60.0)
    assert machine.main_pid(PRACTICE_ID) == 0
    assert machine.exists(directory)
    now_synced(delivered, repository)
    delivered.wait_healthy()


def test_a_pruned_host_with_servers_stays_is_served_and_says_why(
    delivered: Application, repository: Repository, machine: Machine, kubectl: Kubectl,
    games: Namespace,
) -> None:  # fmt: skip
    pid = machine.main_pid()

    def without_hosts(site: Object) -> None:
        site["resources"].remove("hosts.yaml")

    def without_servers(overlay: Object) -> None:
        overlay["resources"].remove("../../site")

    def without_patches(site: Object) -> None:
        del site["patches"]

    repository.edit(SAMPLE / "site/kustomization.yaml", without_hosts)
    repository.edit(SAMPLE / "overlays/one-site/kustomization.yaml", without_patches)
    repository.commit("no machine")
    delivered.refresh()

    def host() -> Object:
        found: Object = kubectl.get("gamehost", HOST)
        return found

    wait_for(lambda: reason(host()) == "Deleting", 30.0, "it says that it waits", host)
    print(f"it says: {condition(host(), 'Ready')['message']}")
    assert "2 do" in condition(host(), "Ready")["message"]
    assert machine.main_pid() == pid
    # Served: what crashes runs again.
    machine.run("kill", "-9", str(pid))
    games.wait(ARENA, partial(_runs_other, pid), "it runs again")
    shown = delivered.wait(
        lambda found: resource_health(found, "GameInstance", ARENA).get("status") == "Healthy",
        "its servers are Healthy",
    )
    assert resource_health(shown, "GameHost", HOST)["status"] == "Progressing"

    # Git goes on to be followed: nothing hangs on the machine that waits.
    repository.edit(SAMPLE / "overlays/one-site/kustomization.yaml", without_servers)
    repository.commit("no servers either")
    revision = repository.git("rev-parse", "HEAD").strip()
    delivered.refresh()
    delivered.wait(partial(asks_to_prune, revision), "it asks for a confirmation")
    delivered.confirm()
    gone = ("get", "gamehost", HOST, "--ignore-not-found", "-o", "name")
    wait_for(
        lambda: not kubectl(*gone).strip(), 60.0, "the machine goes with its last server", host
    )
    assert machine.main_pids() == {}

    repository.revert(2)
    now_synced(delivered, repository)
    delivered.wait_healthy()
    assert machine.main_pid() in machine.bound(port_of(games.get(ARENA)))


def test_deleting_the_application_waits_for_somebody_too(
    delivered: Application, machine: Machine, kubectl: Kubectl, games: Namespace
) -> None:
    directory, pid = games.get(ARENA)["status"]["path"], machine.main_pid()
    kubectl("-n", "argocd", "delete", "application", delivered.name, "--wait=false")
    wait_for(lambda: "requires manual confirmation to delete" in delivered.said(), 30.0, "it asks")
    assert machine.main_pid() == pid
    assert "deletionTimestamp" not in games.get(ARENA)["metadata"]
    delivered.confirm()
    wait_for(lambda: not delivered.get(), 90.0, "the Application is gone", delivered.get)
    assert not kubectl.items("gameinstances", "-A")
    assert not kubectl.items("gamehosts")
    assert machine.main_pids() == {}
    assert machine.exists(directory)
    # Dropping a kind would drop every server of every team.
    kubectl("get", "crd", *(f"{kind}.warlock.dev" for kind in demo.KINDS))


PAGE_SECONDS = 240.0


def test_the_page_leads_a_person_to_servers_that_run(
    delivered: Application,
    kubectl: Kubectl,
    machine: Machine,
    operator_process: MakeOperator,
    games: Namespace,
    tmp_path: Path,
) -> None:
    """Every command of docs/gitops.md, with nothing there but Argo CD; its syncs do the rest."""
    operator = operator_process()
    operator.stop()
    kubectl("delete", "namespace", account.NAMESPACE, "--timeout=60s")
    name = {"name": "argocd-notifications-cm", "namespace": "argocd"}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": name})
    host = machine.host
    typist = Typist(
        tmp_path, kubectl, host.address, host.host_key, host.client_key_path, argo_cd=True
    )

    def has_account() -> bool:
        """Argo CD makes the Deployment too, whose pods nobody runs here."""
        there = kubectl.attempt("-n", account.NAMESPACE, "get", "serviceaccount", account.NAME)
        asked = ("auth", "can-i", f"--as={scenes.ACCOUNT}", "-n", account.NAMESPACE)
        may = kubectl.attempt(*asked, "create", "leases.coordination.k8s.io")
        return there.returncode == may.returncode == 0

    with ThreadPoolExecutor(1) as pool:
        typing = pool.submit(typist.type, PAGE_SECONDS)
        wait_for(lambda: typing.done() or has_account(), 60.0, "the operator has its account")
        operator.start({**QUICK, **LOST_SOON})
        done = typing.result()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for server, identity in ((ARENA, "default"), (PRACTICE, PRACTICE_ID)):
        assert machine.main_pid(identity) in machine.bound(port_of(games.get(server)))
    assert delivered.get()["spec"]["source"]["repoURL"] == typist.repository
