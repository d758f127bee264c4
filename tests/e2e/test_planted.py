"""
Links, FIFOs and devices in an instance's directory: planted before it is made, and raced while.

The instance's own user is who plants: a game server that was taken over. What it must not do is
make root write, own or open anything outside its directory.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from demokit.operator import Operator
from tests.e2e import scenes
from tests.e2e.world import Machine, Namespace, is_true, ready, reason, wait_for
from tests.hostile import machine as hostile
from warlock_agent import names

GUID = "b6c9a1de-0000-4000-8000-0000000000bb"
ROOT = "/srv/planted"
TARGET = "/root/target"
ROUNDS = 16

# What stands at the path of an instance before it is made.
PLANTED = {
    "link-to-directory": "ln -s {target}.d {path}",
    "link-to-file": "ln -s {target} {path}",
    "dangling": "ln -s /etc/cron.d/warlock-canary {path}",
    "link-to-itself": "ln -s {path} {path}",
    "fifo": "mkfifo {path}",
    "device": "mknod {path} c 1 5",
    "hard-link": "ln {target} {path}",
    "full": "mkdir {path}; touch {path}/theirs",
    "marker-is-a-link": "mkdir {path}; ln -s {target} {path}/{marker}",
    "marker-is-a-fifo": "mkdir {path}; mkfifo {path}/{marker}",
    "marker-is-a-device": "mkdir {path}; mknod {path}/{marker} c 1 5",
    "marker-is-a-directory": "mkdir {path}; mkdir {path}/{marker}",
    "marker-of-another": "mkdir {path}; echo other > {path}/{marker}",
    "link-above": "ln -s {target}.d {path}-above",
}

# One turn of the race, in the instance's directory and as its user; $1 counts.
RACE = r"""
cd "$HOME" || exit
n=0
while :; do
  n=$((n + 1))
  for thing in MARKER .MARKER.000000000000.tmp .MARKER.aaaaaaaaaaaa.tmp; do
    rm -rf "$thing"
    case $((n % 6)) in
      0) ln -s TARGET "$thing" ;;
      1) mkfifo "$thing" ;;
      2) mkdir "$thing"; ln -s TARGET "$thing/x" ;;
      3) ln -s /etc "$thing" ;;
      4) echo x > "$thing"; chmod 4777 "$thing" ;;
      5) ln -s .. "$thing" ;;
    esac
  done
  for temporary in .*.tmp; do
    [ -f "$temporary" ] && mv -f "$temporary" stolen 2>/dev/null && ln -s TARGET "$temporary"
  done
  chmod $((n % 2 ? 700 : 777)) . 2>/dev/null
done
""".replace("MARKER", names.MARKER_FILE).replace("TARGET", TARGET)


@pytest.fixture(scope="module")
def recorder(kubectl: Kubectl, machine: Machine, operator: Operator) -> Iterator[None]:
    """A Game that only waits, and files of root's that nothing must touch."""
    hostile.place_recorder(machine)
    kubectl.apply(hostile.game("planted", GUID, [hostile.RECORDER], []))
    machine.shell(
        f"mkdir -p {ROOT} {TARGET}.d; echo root-s > {TARGET}; chmod 600 {TARGET};"
        f" chmod 700 {TARGET}.d"
    )
    yield
    machine.shell(f"rm -rf {ROOT} {TARGET} {TARGET}.d")
    kubectl("delete", "games.warlock.dev/planted")


def _untouched(machine: Machine) -> str:
    """Give all that a misled root would have changed, with owner, mode, links and content."""
    return machine.shell(
        f"stat -c '%n %a %u:%g %h' {TARGET} {TARGET}.d /etc /etc/passwd /etc/shadow /etc/cron.d"
        f" /root; stat -c '%n %a %u:%g' /srv /opt; sha256sum {TARGET};"
        f" ls -A {TARGET}.d /etc/cron.d /root"
    )


def test_what_stands_there_before_is_refused_and_left_alone(
    recorder: None, namespace: Namespace, machine: Machine
) -> None:
    for name, plant in PLANTED.items():
        path = f"{ROOT}/{name}"
        machine.shell(plant.format(path=path, target=TARGET, marker=names.MARKER_FILE))
    before = _untouched(machine), machine.shell(f"ls -lAR {ROOT}")
    specs = {
        name: {
            "guid": GUID, "instance_id": str(uuid.uuid4()), "host": "game-a",
            "path": f"{ROOT}/{name}" + ("-above/x" if name == "link-above" else ""),
        }
        for name in PLANTED
    }  # fmt: skip
    namespace.kubectl.apply(*(namespace.manifest(name, spec) for name, spec in specs.items()))
    for name in PLANTED:
        found = namespace.wait(name, _refused, "it is refused", 60.0)
        assert not ready(found)
    assert (_untouched(machine), machine.shell(f"ls -lAR {ROOT}")) == before


def _refused(found: dict[str, object]) -> bool:
    return reason(found) in ("PathOccupied", "FileFailed") and (
        is_true(found, "Stalled") or is_true(found, "Reconciling")
    )


def test_a_race_in_its_own_directory_leads_root_nowhere(
    recorder: None, namespace: Namespace, machine: Machine, operator: Operator
) -> None:
    instance_id = str(uuid.uuid4())
    spec = {"guid": GUID, "host": "game-a", "instance_id": instance_id}
    namespace.kubectl.apply(namespace.manifest("racer", spec))
    status = namespace.wait_running("racer")["status"]
    before, process = _untouched(machine), operator.pid
    racer = f"warlock-race-{instance_id}"
    machine.run(
        "systemd-run", f"--unit={racer}", f"--uid={status['user']}", "--quiet",
        f"--setenv=HOME={status['path']}", "sh", "-c", RACE.replace("$", "$$"),
    )  # fmt: skip
    try:
        for at in range(ROUNDS):
            # Either the directory is the racer's all along, and root writes within it, or a hand
            # of root's has taken it away, and a pass gives it back.
            if at % 2:
                machine.shell(f"chown root: {status['path']}; chmod 755 {status['path']}")
            namespace.annotate("racer", restart=f"r{at}", reconcile=f"{instance_id}-{at}")
            scenes.until_passed(machine, instance_id, f"{instance_id}-{at}")
        wait_for(lambda: _owner(machine, status["path"]) == status["user"], 30.0, "it is its own")
        assert machine.show(f"{racer}.service", "ActiveState")["ActiveState"] == "active"
    finally:
        machine.run("systemctl", "kill", "-s", "KILL", f"{racer}.service", check=False)
        machine.run("systemctl", "reset-failed", f"{racer}.service", check=False)
    assert _untouched(machine) == before
    assert machine.shell(f"find / -xdev -user {status['user']} -not -path '{status['path']}*'"
                         " -not -path '/proc/*' -not -path '/tmp/systemd-private-*'"
                         " -not -path '/var/tmp/systemd-private-*'") == ""  # fmt: skip
    assert operator.pid == process
    namespace.annotate("racer", reconcile="after")
    namespace.wait_ready("racer")


def _owner(machine: Machine, path: str) -> str:
    return machine.run("stat", "-c", "%U", path).strip()
