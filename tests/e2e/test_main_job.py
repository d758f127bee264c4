"""
The main job: the samples, applied with kubectl, become three running, registered, observed servers.

As the demo does it: two fresh machines, the game is installed by the operator, which runs under
its own account.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from demokit import account, overlay, watching
from demokit.kubectl import Kubectl
from demokit.operator import Operator
from labkit import progress
from labkit.lab import Lab
from tests.conftest import MakeHost, MakeOperator
from tests.e2e import scenes
from tests.e2e.conftest import wait_host
from tests.e2e.world import GUID, SERVICE, Machine, Object, condition, wait_for
from warlock_agent import names

INSTALL_SECONDS = 600.0
SECOND_ID = "550e8400-e29b-41d4-a716-446655440000"
BOUND_SECONDS = 30.0


@dataclass(frozen=True)
class Expected:
    """What a sample must have become."""

    name: str
    host: str
    instance_id: str
    path: str
    port: int
    variables: dict[str, str]

    @property
    def unit(self) -> str:
        """Its unit's name."""
        return names.unit_name(SERVICE, self.instance_id)

    @property
    def registration(self) -> str:
        """Where it is registered: Warlock leaves ``default`` out of the file's name."""
        infix = "" if self.instance_id == "default" else f".{self.instance_id}"
        return f"/var/lib/warlock/{GUID}{infix}.app"


EXPECTED = (
    Expected(
        "arena", "host-a", "default", "/opt/openarena-default", 27960,
        {"SERVER_NAME": "Warlock", "MAP": "oa_dm1", "BOTS": "4"},
    ),
    Expected(
        "arena-pvp", "host-a", SECOND_ID, "/opt/openarena-2", 27961,
        {"SERVER_NAME": "Pwnage", "MAP": "aggressor", "BOTS": "6"},
    ),
    Expected(
        "arena-b", "host-b", "default", "/opt/openarena-default", 27960,
        {"SERVER_NAME": "Warlock", "MAP": "oa_dm4", "BOTS": "4"},
    ),
)  # fmt: skip
each_one = pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected.name)


@pytest.fixture(scope="module")
def fresh(lab_hosts: MakeHost) -> dict[str, Machine]:
    """The machines that the samples name; the game is not on them."""
    return {name: Machine(lab_hosts(name, preinstalled=False)) for name in ("host-a", "host-b")}


@pytest.fixture(scope="module")
def begin(lab: Lab) -> int:
    """Where the audit log ends before the operator starts: earlier suites use its account too."""
    return scenes.audit_position(lab)


@pytest.fixture(scope="module")
def told() -> list[progress.Event]:
    """What was shown while the samples came up."""
    return []


@pytest.fixture(scope="module")
def applied(
    lab: Lab,
    begin: int,
    told: list[progress.Event],
    kubectl: Kubectl,
    fresh: dict[str, Machine],
    operator_process: MakeOperator,
) -> Iterator[Operator]:
    """The samples, applied, and everything done that follows from it."""
    hosts = [machine.host for machine in fresh.values()]
    kubectl.apply(*(overlay.key_secret(host, account.NAMESPACE) for host in hosts))
    operator = operator_process()
    folder = overlay.samples(lab.folder / "samples", hosts)
    kubectl("apply", "-k", folder)
    watching.wait_for_all(kubectl, INSTALL_SECONDS, told.append)
    yield operator
    operator.start()
    kubectl("delete", "-k", folder, "--timeout=120s", limit_seconds=180.0)


@pytest.fixture(scope="module")
def objects(applied: Operator, kubectl: Kubectl) -> dict[str, Object]:
    """The instances by name."""
    return {found["metadata"]["name"]: found for found in kubectl.items("gi", "-n", "games")}


def test_kubectl_waits_for_ready(applied: Operator, kubectl: Kubectl) -> None:
    said = kubectl("wait", "--for=condition=Ready", "--timeout=5s", "gi", "--all", "-n", "games")
    assert said.count("condition met") == 3
    kubectl("wait", "--for=condition=Ready", "--timeout=5s", "gh", "--all")


def test_the_table_shows_all_running_with_the_bots_as_players(
    applied: Operator, kubectl: Kubectl
) -> None:
    header, *lines = kubectl("get", "gameinstances", "-A", "-o", "wide").splitlines()
    columns = header.split()
    rows = [dict(zip(columns, line.split(), strict=False)) for line in lines]
    assert [row["STATE"] for row in rows] == ["Running"] * 3
    assert [row["READY"] for row in rows] == ["True"] * 3
    assert all(int(row["PLAYERS"]) > 0 for row in rows)
    wanted = {e.name: e.unit for e in EXPECTED}
    assert {row["NAME"]: row["UNIT"] for row in rows} == wanted


@each_one
def test_every_condition_says_so(objects: dict[str, Object], expected: Expected) -> None:
    found = objects[expected.name]
    for kind in ("Ready", "HostReachable", "PortsAllocated", "Installed", "Registered", "Running"):
        assert condition(found, kind).get("status") == "True", kind
    for kind in ("Reconciling", "Stalled"):
        assert condition(found, kind).get("status") == "False", kind


@each_one
def test_the_registration_is_the_path_and_not_a_byte_more(
    objects: dict[str, Object], fresh: dict[str, Machine], expected: Expected
) -> None:
    machine = fresh[expected.host]
    octets = machine.run("od", "-An", "-v", "-tu1", expected.registration).split()
    assert bytes(map(int, octets)) == expected.path.encode()


@each_one
def test_it_runs_as_its_own_user_in_its_own_directory(
    objects: dict[str, Object], fresh: dict[str, Machine], expected: Expected
) -> None:
    machine = fresh[expected.host]
    user = names.user_name(GUID, expected.instance_id)
    pid = machine.main_pid(expected.instance_id)
    mode, owner, group = machine.run("stat", "-c", "%a %U %G", expected.path).split()
    assert (mode, owner, group) == ("750", user, user)
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").strip() == user
    assert machine.run("readlink", f"/proc/{pid}/cwd").strip() == expected.path
    assert objects[expected.name]["status"]["user"] == user
    assert objects[expected.name]["status"]["path"] == expected.path


@each_one
def test_units_drop_ins_and_environment_are_in_their_places(
    objects: dict[str, Object], fresh: dict[str, Machine], expected: Expected
) -> None:
    machine = fresh[expected.host]
    shown = machine.show(
        expected.unit, "FragmentPath", "DropInPaths", "UnitFileState", "EnvironmentFiles"
    )
    env = f"/etc/warlock/instances/{GUID}.{expected.instance_id}.env"
    assert shown["FragmentPath"] == f"/etc/systemd/system/{SERVICE}@.service"
    assert shown["DropInPaths"] == f"/etc/systemd/system/{expected.unit}.d/50-warlock.conf"
    assert shown["UnitFileState"] == "enabled"
    assert shown["EnvironmentFiles"].startswith(env)
    assert machine.run("stat", "-c", "%a %U", env).split() == ["600", "root"]
    environment = machine.environment(machine.main_pid(expected.instance_id))
    wanted = {
        "HOME": expected.path,
        "PORT_GAME": str(expected.port),
        "WARLOCK_GUID": GUID,
        "WARLOCK_INSTANCE_ID": expected.instance_id,
        **expected.variables,
    }
    assert {key: environment.get(key) for key in wanted} == wanted


def test_the_template_knows_neither_game_nor_instance(
    applied: Operator, fresh: dict[str, Machine]
) -> None:
    text = fresh["host-a"].read(f"/etc/systemd/system/{SERVICE}@.service")
    assert text == fresh["host-b"].read(f"/etc/systemd/system/{SERVICE}@.service")
    assert "openarena" not in text
    assert GUID not in text
    assert SECOND_ID not in text


@each_one
def test_its_port_is_bound_by_its_own_control_group(
    objects: dict[str, Object], fresh: dict[str, Machine], expected: Expected
) -> None:
    machine = fresh[expected.host]
    holders = wait_for(lambda: machine.bound(expected.port), BOUND_SECONDS, "the port is bound")
    assert {machine.cgroup(pid) for pid in holders} == {expected.unit}
    found = objects[expected.name]["status"]
    assert found["ports"] == [{"name": "game", "port": expected.port, "protocol": "UDP"}]
    assert found["address"] == f"{machine.host.address}:{expected.port}"


@each_one
def test_the_status_has_what_the_machine_has(
    objects: dict[str, Object], fresh: dict[str, Machine], expected: Expected
) -> None:
    machine, found = fresh[expected.host], objects[expected.name]["status"]
    (service,) = found["services"]
    assert service["unit"] == expected.unit
    assert service["mainPID"] == machine.main_pid(expected.instance_id)
    assert (service["activeState"], service["subState"]) == ("active", "running")
    assert found["instance_id"] == expected.instance_id
    version = machine.run("dpkg-query", "-W", "-f", "${Version}", "openarena-server")
    assert found["version"] == version
    assert found["securityScore"] <= 4.0


def test_the_game_was_installed_once_a_machine_and_its_own_unit_never_ran(
    objects: dict[str, Object], fresh: dict[str, Machine]
) -> None:
    for machine in fresh.values():
        log = machine.read("/var/log/apt/history.log")
        assert log.count("Install: ") == 1
        assert machine.show("openarena-server.service", "LoadState")["LoadState"] == "masked"
        assert not machine.run("journalctl", "-q", "-u", "openarena-server.service").strip()


def test_the_statuses_told_how_far_the_installation_was(
    applied: Operator, told: list[progress.Event], objects: dict[str, Object]
) -> None:
    shares = [event.fraction for event in told if event.fraction is not None]
    assert len(set(shares)) >= 3
    for found in objects.values():
        assert "operation" not in found["status"]
        (record,) = found["status"]["history"]
        assert (record["type"], record["result"]) == ("Install", "Succeeded")


def test_the_hosts_say_what_they_are(
    applied: Operator, kubectl: Kubectl, fresh: dict[str, Machine]
) -> None:
    for name, machine in fresh.items():
        found = wait_host(kubectl, name)["status"]
        assert found["machineID"] == machine.host.machine_id
        assert found["facts"]["os"].startswith("Debian GNU/Linux 12")
        assert found["instances"] == {"host-a": {"desired": 2, "running": 2}}.get(
            name, {"desired": 1, "running": 1}
        )


def test_applying_again_and_passes_that_are_asked_for_change_nothing_on_the_machines(
    lab: Lab, applied: Operator, kubectl: Kubectl, fresh: dict[str, Machine]
) -> None:
    def all_managed() -> dict[str, dict[str, str]]:
        return {name: machine.managed() for name, machine in fresh.items()}

    def all_pids() -> dict[str, dict[str, int]]:
        return {name: machine.main_pids() for name, machine in fresh.items()}

    files, pids = all_managed(), all_pids()
    # Two instances: a template, and four files each.
    assert len(files["host-a"]) == 9
    reloads = {name: scenes.reloads(machine) for name, machine in fresh.items()}
    kubectl("apply", "-k", lab.folder / "samples")
    for expected in EXPECTED:
        argv = ("annotate", "gi", expected.name, "warlock.dev/reconcile=once-more")
        kubectl("-n", "games", *argv)
    for name, machine in fresh.items():
        wait_for(partial(_tried_again, machine), 30.0, f"the passes that were asked for on {name}")
    assert all_managed() == files
    assert all_pids() == pids
    assert {name: scenes.reloads(machine) for name, machine in fresh.items()} == reloads


def test_the_operator_was_refused_nothing_and_used_its_own_account_alone(
    lab: Lab, begin: int, applied: Operator
) -> None:
    mine = scenes.requests_of_operator(lab, begin)
    assert mine
    assert not [entry for entry in mine if entry.get("responseStatus", {}).get("code") == 403]


def test_the_token_is_for_the_owner_of_the_file_alone(applied: Operator) -> None:
    assert stat.S_IMODE(applied.kubeconfig.stat().st_mode) == 0o600


def _tried_again(machine: Machine) -> bool:
    """Whether the machine's own record has the request of every instance on it."""
    ledger = json.loads(machine.read("/var/lib/warlock/ledger/ledger.json"))["ledger"]
    asked = [each for each in ledger["instances"] if each.get("reconcile") == "once-more"]
    return len(asked) == sum(each.host == machine.name for each in EXPECTED)
