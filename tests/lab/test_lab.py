"""The lab itself: hosts are separate machines, labs do not meet, nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit import cgroups, gitops, lab, paths, state
from labkit.errors import LabError

_LAB = paths.REPOSITORY / "hack" / "lab"
_NAME = f"t{os.getpid()}"
_LIMIT_SECONDS = 600.0


@pytest.fixture(scope="module")
def running() -> Iterator[lab.Lab]:
    made = lab.up(_NAME, hosts=2, cluster="none")
    try:
        yield made
    finally:
        made.down()


def _hack_lab(*words: str, unprivileged: bool = False) -> subprocess.CompletedProcess[str]:
    # In a user namespace without a mapping we are nobody.
    prefix = ["unshare", "--user"] if unprivileged else []
    return subprocess.run(
        [*prefix, str(_LAB), *words],
        capture_output=True,
        text=True,
        timeout=_LIMIT_SECONDS,
        check=False,
    )


def _until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not fact():
        assert time.monotonic() < deadline, "the fact never came"
        time.sleep(0.01)


def _traces(name: str, subnet: int) -> list[str]:
    """Return what the machine still has of a lab."""
    found = [str(folder) for folder in cgroups.Group(name).folders if folder.exists()]
    found += [str(path) for path in Path("/sys/class/net").glob(f"wl{subnet}h*")]
    found += [str(path) for path in Path("/sys/class/net").glob(f"wlab{subnet}")]
    found += [str(path) for path in Path("/run/netns").glob(f"wlab{subnet}-*")]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if f"/{name}/" in line or f"warlock-{name}-" in line]
    return found + [str(path) for path in [paths.lab_folder(name)] if path.exists()]


def test_two_hosts_share_no_identity(running: lab.Lab) -> None:
    first, second = running.hosts["host-a"], running.hosts["host-b"]
    for fact in ("cat /etc/machine-id", "hostname", "cat /etc/ssh/ssh_host_ed25519_key.pub"):
        assert first.ssh(fact).stdout != second.ssh(fact).stdout, fact
    assert first.ssh("cat /etc/machine-id").stdout.strip() == first.machine_id
    assert first.ssh("hostname").stdout.strip() == "host-a"


def test_the_host_key_that_is_told_is_the_one_that_sshd_shows(running: lab.Lab) -> None:
    for host in running.hosts.values():
        argv = ["ssh-keyscan", "-t", "ed25519", host.address]
        shown = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout
        assert host.host_key in shown


def test_a_person_with_sudo_has_a_shell_that_talks(running: lab.Lab) -> None:
    said = running.hosts["host-a"].ssh("sudo -n id -u", user="warlock")
    assert said.stdout.splitlines()[-1] == "0"
    assert len(said.stdout.splitlines()) > 1


def test_the_game_can_be_installed_and_nothing_else_is_reachable(running: lab.Lab) -> None:
    host = running.hosts["host-a"]
    assert "file:/srv/apt" in host.run(["apt-cache", "policy", "openarena-server"]).stdout
    assert "default" not in host.run(["ip", "route"]).stdout


def test_files_and_keys_survive_a_reboot_and_a_power_cut(running: lab.Lab) -> None:
    host, neighbour = running.hosts["host-a"], running.hosts["host-b"]
    other_boot = neighbour.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    boots = set()
    host.run(["sh", "-c", "echo kept >/root/file"])
    for restart in (host.reboot, lambda: (host.power_off(), host.power_on())):
        boots.add(host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout)
        restart()
        assert host.ssh("cat /root/file").stdout == "kept\n"
    boots.add(host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout)
    assert len(boots) == 3
    assert neighbour.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout == other_boot


def test_an_unplugged_host_runs_on(running: lab.Lab) -> None:
    host = running.hosts["host-b"]
    before = host.run(["cat", "/proc/sys/kernel/random/boot_id"]).stdout
    host.unplug()
    try:
        with pytest.raises(LabError):
            host.ssh("true")
    finally:
        host.plug()
    assert host.ssh("cat /proc/sys/kernel/random/boot_id").stdout == before


def test_a_second_lab_shares_no_address_and_its_end_leaves_the_first(running: lab.Lab) -> None:
    other = lab.up(f"{_NAME}-2", hosts=1, cluster="none")
    subnet = other.state.subnet
    try:
        assert other.hosts["host-a"].address != running.hosts["host-a"].address
        assert other.hosts["host-a"].ssh("hostname").stdout == "host-a\n"
        assert other.state.apiserver_port != running.state.apiserver_port
    finally:
        other.down()
    assert _traces(other.name, subnet) == []
    assert running.hosts["host-a"].ssh("true").returncode == 0


def test_up_again_changes_nothing(running: lab.Lab) -> None:
    before = [host.ssh("cat /proc/1/stat").stdout.split()[21] for host in running.hosts.values()]
    again = lab.up(_NAME, hosts=2, cluster="none")
    after = [host.ssh("cat /proc/1/stat").stdout.split()[21] for host in again.hosts.values()]
    assert after == before


def test_an_up_that_was_killed_is_finished_by_the_next_and_removed_by_down() -> None:
    name = f"{_NAME}-k"
    argv = [sys.executable, "-P", "-m", "labkit", "up", "--name", name, "--cluster", "none"]
    environment = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY / "hack")}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as process:
        # In the middle of making the first host: noted, not finished.
        _until(lambda: state.file_of(name).exists() and '"host-a"' in state.text(name))
        process.send_signal(signal.SIGKILL)
    subnet = state.read(name).subnet
    try:
        assert _hack_lab("up", "--name", name, "--cluster", "none").returncode == 0
        assert _hack_lab("ssh", "--name", name, "host-b", "hostname").stdout == "host-b\n"
    finally:
        assert _hack_lab("down", "--name", name).returncode == 0
    assert _traces(name, subnet) == []
    assert _hack_lab("down", "--name", name).returncode == 0


def test_an_argocd_whose_start_was_killed_is_finished_by_the_next_up_and_goes_with_the_lab() -> (
    None
):
    name = f"{_NAME}-g"
    argv = [sys.executable, "-P", "-m", "labkit", "up", "--name", name, "--hosts", "0", "--argocd"]
    environment = {**os.environ, "PYTHONPATH": str(paths.REPOSITORY / "hack")}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as process:
        # The first part runs, the last one does not yet.
        _until(cgroups.Group(name, gitops.PARTS[0]).alive)
        process.send_signal(signal.SIGKILL)
    subnet = state.read(name).subnet
    try:
        # What a lab has had, it has again without being asked for.
        assert _hack_lab("up", "--name", name, "--hosts", "0").returncode == 0
        rows = [line.split() for line in _hack_lab("status").stdout.splitlines()]
        running = {row[1] for row in rows if row[0] == name and row[2] == "running"}
        assert running >= set(gitops.PARTS)
        said = json.loads(_hack_lab("status", "--name", name, "--json").stdout)
        assert Path(said["argocd_repository"].removeprefix("file://"), "HEAD").exists()
    finally:
        assert _hack_lab("down", "--name", name).returncode == 0
    assert _traces(name, subnet) == []


def test_without_root_it_says_so_in_one_line() -> None:
    done = _hack_lab("up", unprivileged=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run it as root" in done.stderr
