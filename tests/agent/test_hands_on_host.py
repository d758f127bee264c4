"""The agent's hands on real machines: the oldest systemd and Python that we support, and newer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import warlock_agent
from labkit.host import Host
from tests.conftest import MakeHost

_FOLDER = "/root/hands"
_MASKED = "openarena-server.service"
Hands = Callable[..., dict[str, Any]]


def _put(host: Host) -> None:
    """Copy the package and the program there."""
    assert host.root is not None
    assert warlock_agent.__file__ is not None
    folder = host.root / _FOLDER.lstrip("/")
    shutil.rmtree(folder, ignore_errors=True)
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(warlock_agent.__file__).parent, folder / "warlock_agent", ignore=leave)
    shutil.copy(Path(__file__).parent / "on_host/hands.py", folder)


def _hands(host: Host) -> Hands:
    _put(host)

    def run(name: str, *words: str) -> dict[str, Any]:
        argv = ["python3", "-I", "-S", f"{_FOLDER}/hands.py", name, *words]
        done = host.run(argv, check=False, limit_seconds=300)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return run


@pytest.fixture(scope="module", params=["bullseye", "bookworm", "trixie"])
def hands(request: pytest.FixtureRequest, lab_hosts: MakeHost) -> Hands:
    return _hands(lab_hosts(f"hands-{request.param}", suite=request.param))


@pytest.mark.parametrize("socket", ["private", "bus"])
def test_units_are_started_seen_restarted_and_stopped_in_batches(hands: Hands, socket: str) -> None:
    assert hands("lifecycle", socket) == {
        "before": 0,
        "started": ["done"],
        "active": 20,
        "pids": 21,
        "commands": ["sleep"],
        "short_is_long": True,
        "fragment": "/etc/systemd/system/hands@.service",
        "invocation": 32,
        "none": "inactive",
        "restarted": ["done"],
        "new_pids": 5,
        "stopped": ["done"],
        "after": 0,
    }


@pytest.mark.parametrize("socket", ["private", "bus"])
def test_what_systemd_refuses_keeps_back_no_other_unit(hands: Hands, socket: str) -> None:
    found = hands("refusals", socket)
    assert found.pop("message") == "Unit hands-none.service not found."
    assert found == {
        "results": ["error", "failed", "done", "error"],
        "slow": "pending",
        "failed": ["failed", "exit-code", "exited", 1],
        "stopped": ["done"],
        "cleared": {},
        "after": "inactive",
    }


@pytest.mark.parametrize("socket", ["private", "bus"])
def test_a_killed_process_is_told_with_its_signal(hands: Hands, socket: str) -> None:
    found = hands("killed", socket)
    assert (found["status"], found["restarts"]) == (9, 1)


def test_who_was_stopped_is_told_from_who_ended_by_itself(hands: Hands) -> None:
    assert hands("stopped", "private") == {
        "hands-stopped.service": ["failed", True],
        "hands-crashed.service": ["failed", False],
        "hands-absent.service": ["failed", False],
    }


@pytest.mark.parametrize("socket", ["private", "bus"])
def test_a_re_executed_systemd_is_found_again(hands: Hands, socket: str) -> None:
    assert hands("reexec", socket) == {"lost": True, "result": "done", "signals": True}


def test_systemd_is_reached_without_the_bus(hands: Hands) -> None:
    assert int(hands("without_bus", "any")["version"][:3]) >= 247


@pytest.mark.parametrize("socket", ["private", "bus"])
def test_a_transient_unit_runs_its_words_as_they_are(hands: Hands, socket: str) -> None:
    assert hands("transient", socket) == {
        "results": ["done", "failed"],
        "words": ["$HOME", "${A}", "a b", "%n", "$$"],
        "left": [],
    }


def test_users_are_made_by_one_call_and_once(hands: Hands) -> None:
    assert hands("make_users") == {
        "uids": 20,
        "system": True,
        "unchanged": True,
        "line": ["/srv/hands-3", "/usr/sbin/nologin"],
    }


def test_the_last_words_are_those_of_the_last_run(hands: Hands) -> None:
    found = hands("last_words")
    assert found["lines"] == ["run ID", " [31mred"]
    assert (found["ids"], found["all"], found["none"]) == (2, True, [])


def test_a_unit_s_sockets_and_usage(hands: Hands) -> None:
    found = hands("usage")
    assert found["bound"] == [["TCP", "127.0.0.1", 28124, True], ["UDP", "::", 28123, True]]
    assert found["source"] in ("ProcessPSS", "Cgroup")
    assert 20_000_000 < found["memory"] < 100_000_000
    assert (found["tasks"], found["after"]) == (1, [])
    assert found["cpu"] > 1000


# --- apt ---


@pytest.fixture(scope="module")
def bare(lab_hosts: MakeHost) -> Host:
    """A machine without the game."""
    return lab_hosts("hands-bare", preinstalled=False)


def test_a_package_is_installed_and_its_own_unit_does_not_start(bare: Host) -> None:
    hands = _hands(bare)
    found = hands("apt", "openarena-server", _MASKED)
    assert found["message"] == ""
    assert (found["done"], found["state"], found["progress"]) == (True, "Succeeded", 100)
    assert found["steps"][-1] == "Install"
    assert found["rises"]
    assert found["points"] > 3
    state = bare.run(["systemctl", "is-active", _MASKED], check=False).stdout.strip()
    assert state == "inactive"
    assert bare.run(["pgrep", "-c", "openarena"], check=False).stdout.strip() == "0"
    assert hands("apt", "openarena-server", _MASKED)["done"]


def test_an_unknown_package_fails_with_apt_s_words(bare: Host) -> None:
    found = _hands(bare)("apt", "no-such-package-anywhere", "")
    assert (found["done"], found["state"]) == (False, "Failed")
    assert "Unable to locate package no-such-package-anywhere" in found["message"]
    assert "Update" in found["steps"]


_INTERRUPT = """
set -e
dpkg --purge --force-depends unzip >/dev/null 2>&1 || true
cat > /root/build.sh <<'END'
set -e
mkdir -p /root/pkg/DEBIAN
printf 'Package: hands-test\\nVersion: 1\\nArchitecture: all\\nMaintainer: t\\nDescription: t\\n' \
  > /root/pkg/DEBIAN/control
dpkg-deb --build /root/pkg /root/hands-test.deb
END
sh /root/build.sh >/dev/null
dpkg --unpack /root/hands-test.deb >/dev/null
cp /var/lib/dpkg/status /root/before
dpkg-query -s hands-test > /var/lib/dpkg/updates/0000
"""


def test_what_an_interrupted_dpkg_left_is_finished_first(bare: Host) -> None:
    bare.run(["bash", "-c", _INTERRUPT])
    hands = _hands(bare)
    found = hands("apt", "openarena-server", _MASKED)
    assert found["message"] == ""
    assert found["done"]
    assert "Repair" in found["steps"]
    status = bare.run(["dpkg-query", "-W", "-f", "${db:Status-Status}", "hands-test"]).stdout
    assert status == "installed"
