"""What several rows do to make a fault or to take it away."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demokit import account, overlay
from labkit.commands import run
from tests.e2e.faults.row import ARENA, HOST, Act, Says
from tests.e2e.faults.stage import Stage

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
RESTART_SSHD = "systemctl reset-failed ssh; systemctl restart ssh"
"""Rows restart it more often than systemd's start limit allows."""


def refused(reason: str, *hint: str) -> tuple[Says, ...]:
    """What both kinds say where the machine can't be worked with."""
    return (
        Says(HOST, "Reachable", "False", reason, hint),
        Says(ARENA, "HostReachable", "False", reason, hint),
    )


def in_turn(text: str, *acts: Act) -> Act:
    """Several acts as one."""

    def do(stage: Stage) -> None:
        for act in acts:
            act.do(stage)

    return Act(text, do)


def shell(text: str, script: str) -> Act:
    """Run a script on the machine."""
    return Act(text, lambda stage: _ignore(stage.shell(script)))


def then_cut(text: str, script: str) -> Act:
    """Run a script on the machine, and end every session, so that it is felt at once."""

    def do(stage: Stage) -> None:
        stage.shell(script)
        stage.cut_sessions()

    return Act(text, do)


EDIT = Act("an edit", lambda stage: stage.notes.update(edit=stage.edit_arena()))
"""A change that has to be carried out on the machine."""

RESTORE_HOST = Act("`spec` is put right", lambda stage: stage.restore_host())
NOTHING = Act("nothing: it passes by itself", lambda stage: None)


def edit_arrived(stage: Stage) -> bool:
    """Whether the process that runs is one of the last edit."""
    pid = stage.machine.main_pid(stage.arena_id)
    # A process that ends or begins just now has no environment.
    said = stage.machine.shell(f"cat /proc/{pid}/environ", check=False) if pid else ""
    return f"SERVER_NAME={stage.notes['edit']}" in said.split("\0")


# --- an instance more ---------------------------------------------------------------------------

EXTRA = "extra"
"""The instance that a row makes for itself."""
_EXTRA_PORT = 28100


def new_extra(stage: Stage, instance_id: str) -> None:
    """Make it, of the game that is installed."""
    ports = [{"name": "game", "port": _EXTRA_PORT}]
    stage.namespace.instance(EXTRA, host=stage.name, instance_id=instance_id, ports=ports)


def drop_extra(stage: Stage) -> None:
    """Delete it, and return when it is gone."""
    stage.namespace.delete(EXTRA)


# --- keys -------------------------------------------------------------------------------------


def fresh_key(kind: str = "ed25519") -> tuple[str, str]:
    """Make a key pair; gives its private and its public half."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "key")
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "fault", "-f", file)
        return file.read_text(), " ".join(file.with_suffix(".pub").read_text().split()[:2])


def put_secret(stage: Stage, private_key: str = "") -> None:
    """Write the key Secret; by default with the machine's own key."""
    secret = overlay.key_secret(stage.machine.host, account.NAMESPACE)
    if private_key:
        secret["stringData"]["ssh-privatekey"] = private_key
    stage.kubectl.apply(secret)


def drop_secret(stage: Stage) -> None:
    """Delete the key Secret."""
    stage.kubectl("-n", account.NAMESPACE, "delete", "secret", stage.secret)


CHANGE_HOST_KEY = then_cut(
    "the machine has another host key, and its sessions end",
    f"cp -a {HOST_KEY} {HOST_KEY}.kept; rm {HOST_KEY}; "
    f"ssh-keygen -q -t ed25519 -N '' -f {HOST_KEY}; {RESTART_SSHD}",
)
RESTORE_HOST_KEY = shell(
    "its old host key is back", f"mv {HOST_KEY}.kept {HOST_KEY}; {RESTART_SSHD}"
)


def _ignore(_: object) -> None:
    """An act gives nothing."""
