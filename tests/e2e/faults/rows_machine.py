"""Rows: the machine itself, and which machine it is."""

from __future__ import annotations

from labkit import network
from labkit.commands import run
from tests.e2e.faults import acts
from tests.e2e.faults.acts import refused
from tests.e2e.faults.row import ARENA, Act, Row, Says
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import healthy_agents
from tests.e2e.world import Machine

PYTHON = "/usr/bin/python3"

_OLD = f"""
cp -a {PYTHON} /root/python3.kept
rm {PYTHON}
cat > {PYTHON} <<'end'
#!/bin/sh
shift 3
exec /usr/bin/python3.11 -I -S -c 'import sys
sys.version, sys.version_info = "3.8.10 (default)", (3, 8, 10, "final", 0)
exec(sys.argv.pop(1))' "$@"
end
chmod 755 {PYTHON}
"""
_RESTORE_PYTHON = acts.shell("it is back", f"mv -f /root/python3.kept {PYTHON}")


def _move_in(stage: Stage) -> None:
    """Put the spare machine where ours was: its address, its host key; only not its machine-id."""
    host, spare = stage.machine.host, stage.spare.host
    kept = f"cp -an {acts.HOST_KEY} {acts.HOST_KEY}.kept"
    key = (host.folder / "host_key").read_text()
    spare.run(["sh", "-c", f"{kept}; cat > {acts.HOST_KEY}; {acts.RESTART_SSHD}"], stdin=key)
    stage.notes["before"] = ours_on(stage.spare)
    host.unplug()
    _address(stage, "add")


def _move_out(stage: Stage) -> None:
    _address(stage, "del")
    stage.machine.host.plug()


def _address(stage: Stage, verb: str) -> None:
    subnet = stage.lab.state.subnet
    space, address = network.namespace(subnet, stage.spare.name), stage.machine.host.address
    run("ip", "-n", space, "address", verb, f"{address}/24", "dev", "eth0")
    run("ip", "neigh", "flush", "dev", network.bridge(subnet))


def _restore_spare(stage: Stage) -> None:
    stage.spare.shell(f"mv {acts.HOST_KEY}.kept {acts.HOST_KEY}; {acts.RESTART_SSHD}")


def ours_on(machine: Machine) -> str:
    """Give all that is ours on a machine."""
    return machine.shell(
        "find /var/lib/warlock /etc/warlock /etc/systemd/system /opt /run/warlock 2>/dev/null",
        check=False,
    )


def _untouched(stage: Stage) -> bool:
    """Whether nothing was written to the machine that is not ours."""
    return bool(ours_on(stage.spare) == stage.notes["before"])


def _second_host(stage: Stage) -> None:
    other = stage.manifest()
    other["metadata"]["name"] = f"{stage.name}-again"
    stage.kubectl.apply(other)


def _drop_second_host(stage: Stage) -> None:
    stage.kubectl("delete", "gamehost", f"{stage.name}-again", "--timeout=30s")


def _to_spare(stage: Stage) -> None:
    spare = stage.spare.host
    stage.notes["before"] = ours_on(stage.spare)
    stage.edit_host(address=spare.address, ssh={"hostKeys": [spare.host_key]})


def _power_off(stage: Stage) -> None:
    stage.machine.host.power_off()


def _reboot(stage: Stage) -> None:
    stage.machine.host.reboot()


_DENIED = "/etc/sudoers.d/warlock"

ROWS: tuple[Row, ...] = (
    Row(
        "no python3",
        made=acts.then_cut("python3 is moved away", f"mv {PYTHON} /root/python3.kept"),
        says=refused("PythonMissing", "apt-get install python3"),
        cured=_RESTORE_PYTHON,
        heals_seconds=6,
    ),
    Row(
        "python3 too old",
        made=acts.then_cut("python3 says that it is 3.8.10", _OLD),
        says=refused("PythonTooOld", "3.8.10", "install 3.9 or newer"),
        cured=_RESTORE_PYTHON,
        heals_seconds=6,
    ),
    Row(
        "sudo denied",
        made=acts.in_turn(
            "`user: warlock, become: Sudo`, without a line in sudoers",
            acts.shell("", f"mv {_DENIED} /root/sudoers.kept"),
            Act("", lambda stage: stage.edit_host(ssh={"user": "warlock", "become": "Sudo"})),
        ),
        says=refused("SudoDenied", "NOPASSWD", "/etc/sudoers.d/warlock"),
        cured=acts.shell("the line is there", f"mv /root/sudoers.kept {_DENIED}"),
        heals_seconds=6,
        after=lambda stage: stage.restore_host(),
    ),
    Row(
        "address edited to another live host",
        made=Act("`spec.address` and `hostKeys` are another machine's", _to_spare),
        says=refused("HostReplaced", "nothing is written", "warlock.dev/accept-host"),
        unharmed=_untouched,
        cured=acts.RESTORE_HOST,
        heals_seconds=5,
    ),
    Row(
        "replaced by another machine with the same address",
        made=Act("another machine has address and host key, not the machine-id", _move_in),
        says=(
            *refused("HostReplaced", "nothing is written", "warlock.dev/accept-host"),
            Says(ARENA, "Ready", "Unknown", "NotSeen", ("accept-host",)),
        ),
        unharmed=_untouched,
        cured=Act("the right machine is back", _move_out),
        heals_seconds=10,
        after=_restore_spare,
    ),
    Row(
        "two GameHosts for one machine",
        made=Act("a second GameHost has the same address", _second_host),
        says=(Says("/fault-c-again", "Stalled", "True", "DuplicateHost", ("GameHost",)),),
        unharmed=lambda stage: stage.well(),
        cured=Act("it is deleted", _drop_second_host),
        heals_seconds=5,
    ),
    Row(
        "rebooted",
        made=Act("systemctl reboot", _reboot),
        cured=acts.NOTHING,
        healed=healthy_agents,
        heals_seconds=15,
        interrupts=True,
        starts=(1, 1),
    ),
    Row(
        "powered off",
        made=Act("the power is cut", _power_off),
        says=(
            *refused("HostUnreachable"),
            Says(ARENA, "Running", "Unknown", "NotSeen"),
        ),
        cured=Act("power on", lambda stage: stage.machine.host.power_on()),
        healed=healthy_agents,
        heals_seconds=15,
        interrupts=True,
        starts=(1, 1),
    ),
)
