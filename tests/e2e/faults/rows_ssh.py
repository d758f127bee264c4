"""Rows: SSH and keys."""

from __future__ import annotations

import socket

from labkit.host import Host
from tests.e2e.faults import acts
from tests.e2e.faults.acts import refused
from tests.e2e.faults.row import HOST, Act, Row, Says
from tests.e2e.faults.stage import Stage


def _user(name: str) -> Act:
    return Act(f"`spec.ssh.user: {name}`", lambda stage: stage.edit_host(ssh={"user": name}))


def _wrong_key(stage: Stage) -> None:
    acts.put_secret(stage, acts.fresh_key()[0])


def _rotate(stage: Stage) -> None:
    """First the machine learns the new key, then the Secret, then the old one goes."""
    private, public = acts.fresh_key()
    stage.notes["agents"] = set(stage.agents())
    stage.shell(
        f"cp -a ~/.ssh/authorized_keys ~/kept_keys; echo '{public}' >> ~/.ssh/authorized_keys"
    )
    acts.put_secret(stage, private)


def _rotated(stage: Stage) -> bool:
    """Whether the agent that serves is one of the new key's connection."""
    agents = set(stage.agents())
    return len(agents) == 1 and not agents & stage.notes["agents"]


def _unrotate(stage: Stage) -> None:
    stage.shell("mv ~/kept_keys ~/.ssh/authorized_keys")
    acts.put_secret(stage)


def _pin_another_type(stage: Stage) -> None:
    key = acts.fresh_key("ecdsa")[1]
    stage.edit_host(ssh={"hostKeys": [key]})


def _trust_first_use(stage: Stage) -> None:
    stage.edit_host(ssh={"hostKeyPolicy": "TrustOnFirstUse", "hostKeys": None})

    def recorded() -> bool:
        status = stage.get(HOST).get("status", {})
        return status.get("hostKeys") == [stage.machine.host.host_key] and stage.well()

    stage.until(recorded, 15.0, "the first key is recorded")
    acts.CHANGE_HOST_KEY.do(stage)


def _note_agents(stage: Stage) -> None:
    stage.notes["agents"] = set(stage.agents())


def _another_agent(stage: Stage) -> bool:
    """Whether exactly one agent serves, and it is none of before."""
    agents = set(stage.agents())
    return len(agents) == 1 and not agents & stage.notes["agents"]


def _fill_startups(stage: Stage) -> None:
    """Hold as many connections without a login as sshd allows, then cut the others."""
    stage.shell("echo 'MaxStartups 2:100:2' > /etc/ssh/sshd_config.d/fault.conf")
    stage.shell(acts.RESTART_SSHD)
    stage.notes["held"] = [_hold(stage.machine.host) for _ in range(2)]
    stage.cut_sessions()
    stage.notes["held"] += [_hold(stage.machine.host) for _ in range(2)]


def _hold(host: Host) -> socket.socket:
    return socket.create_connection((host.address, host.ssh_port), timeout=5.0)


def _let_go(stage: Stage) -> None:
    for each in stage.notes["held"]:
        each.close()


def _unlimit(stage: Stage) -> None:
    stage.shell(f"rm /etc/ssh/sshd_config.d/fault.conf; {acts.RESTART_SSHD}")


ROWS: tuple[Row, ...] = (
    Row(
        "wrong user",
        made=_user("nobody"),
        says=refused("AuthenticationFailed", "refuses user nobody", "authorized_keys"),
        cured=_user("root"),
        heals_seconds=5,
    ),
    Row(
        "wrong key",
        made=Act("the Secret holds a key that the machine does not know", _wrong_key),
        says=refused("AuthenticationFailed", "add its public half", "SHA256:"),
        cured=Act("the Secret holds the right key", acts.put_secret),
        heals_seconds=5,
    ),
    Row(
        "key Secret missing, then added",
        made=Act("the Secret is deleted", acts.drop_secret),
        says=(Says(HOST, "Ready", "False", "KeySecretMissing", ("fault-a-ssh", "create it")),),
        cured=Act("it is made again", acts.put_secret),
        heals_seconds=5,
    ),
    Row(
        "key rotated",
        made=Act("the machine takes a new key too, and the Secret holds it", _rotate),
        unharmed=_rotated,
        cured=Act("back to the old one", _unrotate),
        heals_seconds=5,
    ),
    Row(
        "host key changed",
        made=acts.CHANGE_HOST_KEY,
        says=refused(
            "HostKeyMismatch", "shows ssh-ed25519 SHA256:", "pinned is ssh-ed25519 SHA256:"
        ),
        cured=acts.RESTORE_HOST_KEY,
        heals_seconds=6,
    ),
    Row(
        "pinned key of another type",
        made=Act("`spec.ssh.hostKeys` has an ecdsa key, the machine none", _pin_another_type),
        says=refused("HostKeyMismatch", "ssh-ed25519 SHA256:", "pinned is ecdsa-sha2-nistp256"),
        cured=acts.RESTORE_HOST,
        heals_seconds=5,
    ),
    Row(
        "trusted on first use, then changed",
        made=Act("`TrustOnFirstUse`; once the key is recorded, it changes", _trust_first_use),
        says=refused("HostKeyMismatch", "trusted on first use is ssh-ed25519 SHA256:"),
        cured=acts.RESTORE_HOST_KEY,
        heals_seconds=6,
        after=lambda stage: stage.restore_host(),
    ),
    Row(
        "sshd restarted, its sessions killed",
        made=acts.in_turn(
            "systemctl restart ssh, and SIGKILL to every session",
            Act("", _note_agents),
            acts.then_cut("", acts.RESTART_SSHD),
        ),
        cured=acts.NOTHING,
        healed=_another_agent,
        heals_seconds=5,
    ),
    Row(
        "sshd refuses, MaxStartups",
        made=Act("MaxStartups 2, and two that never log in", _fill_startups),
        says=refused("HostUnreachable"),
        cured=Act("those two go", _let_go),
        heals_seconds=6,
        after=_unlimit,
    ),
    Row(
        "sshd stopped",
        made=acts.then_cut("systemctl stop ssh, sessions killed", "systemctl stop ssh"),
        says=refused("HostUnreachable", "Connection refused"),
        cured=acts.shell("systemctl start ssh", acts.RESTART_SSHD),
        heals_seconds=6,
    ),
)
