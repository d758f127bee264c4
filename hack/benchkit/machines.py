"""
The machines that carry the servers: made empty before each trial, looked at after it.

Nothing here is timed, and nothing goes through SSH: by the machines' namespaces and disks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchkit.workload import GUID, ROOT, SERVICE, TEMPLATE, Wish, wish
from labkit.errors import LabError
from labkit.host import Host
from warlock_agent import names

MOST_SERVERS = 100

Wishes = Mapping[str, Wish]
"""What each machine should carry, by the machine's name."""

_ACCOUNTS = ("passwd", "group", "shadow", "gshadow")
# Moved away, not deleted: ext4 gives no number of a file away again for minutes, and would search
# through those of the way before for each file that the next one makes (0.1 to 0.3 ms).
_EMPTY = f"""
systemctl stop '{SERVICE}@*' 2>/dev/null
systemctl reset-failed 2>/dev/null
old=$(mktemp -d -p /var/tmp)
mkdir $old/units $old/wants $old/rest
mv {names.UNIT_DIR}/{SERVICE}* $old/units 2>/dev/null
mv {names.WANTS_DIR}/{SERVICE}* $old/wants 2>/dev/null
mv {names.LEDGER_DIR} {names.ENV_DIR} {names.STATE_DIR}/{GUID}* {ROOT}/bench-* $old/rest 2>/dev/null
rm -rf {names.RUN_DIR}
systemctl daemon-reload
sync
"""


def prepare(hosts: Sequence[Host]) -> None:
    """Make the users of all servers, and keep a copy of the accounts without them."""
    lines = [f"u {one.user} - - {one.path}\n" for one in wish(MOST_SERVERS).servers]
    for host in hosts:
        script = "".join(f"cp -n /etc/{name} /root/{name}.before;" for name in _ACCOUNTS)
        host.run(["sh", "-c", f"{script} systemd-sysusers -"], stdin="".join(lines))


def without_users(hosts: Sequence[Host]) -> None:
    """Put the accounts back to what they were before :func:`prepare`."""
    script = "".join(f"cp /root/{name}.before /etc/{name};" for name in _ACCOUNTS)
    for host in hosts:
        host.run(["sh", "-c", script])


def empty(hosts: Sequence[Host]) -> None:
    """Take away what a way has made; systemd has forgotten it as well."""
    for host in hosts:
        host.run(["sh", "-c", _EMPTY])


def lay_files(hosts: Sequence[Host], wishes: Wishes) -> None:
    """Put all files and directories there, and tell systemd nothing: for the bare floor."""
    for host in hosts:
        root = _root(host)
        for server in wishes[host.name].servers:
            directory = root / server.path.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(names.DIRECTORY_MODE)
            for file in (TEMPLATE, *server.files):
                place = root / file.path.lstrip("/")
                place.parent.mkdir(parents=True, exist_ok=True)
                place.unlink(missing_ok=True)
                if file.kind == "Link":
                    place.symlink_to(file.content)
                else:
                    place.write_text(file.content)
        owners = "".join(f"chown {s.user}: {s.path};" for s in wishes[host.name].servers)
        host.run(["sh", "-c", owners])


def check(hosts: Sequence[Host], wishes: Wishes, way: str) -> None:
    """
    Look whether the machines are as wished: every byte, every directory, every unit.

    Raises:
        LabError: a way has not done its work, and its time means nothing.
    """
    for host in hosts:
        for what in _differences(host, wishes[host.name]):
            raise LabError(f"{way} left {host.name} other than wished: {what}")


def _differences(host: Host, wished: Wish) -> list[str]:
    root, found = _root(host), []
    for file in (TEMPLATE, *(file for server in wished.servers for file in server.files)):
        place = root / file.path.lstrip("/")
        if file.kind == "Link" and not place.is_symlink():
            found.append(f"{file.path} is no link")
        elif file.kind == "File" and not place.exists():
            found.append(f"{file.path} is missing")
        elif file.kind == "File" and place.read_text() != file.content:
            found.append(f"{file.path} has another content")
    paths = [server.path for server in wished.servers]
    owners = host.run(["stat", "-c", "%U %a", *paths], check=False).stdout.split("\n")[:-1]
    if owners != [f"{server.user} {names.DIRECTORY_MODE:o}" for server in wished.servers]:
        found.append("a directory is not its user's")
    return found + _units_amiss(host, wished)


def _units_amiss(host: Host, wished: Wish) -> list[str]:
    """Compare what runs: every unit is active, and its process has the newest environment."""
    argv = ["systemctl", "show", "-P", "MainPID", *wished.units]
    pids = [line for line in host.run(argv).stdout.splitlines() if line]
    found = []
    script = "cd /proc; for p; do tr '\\0' '\\n' <$p/environ | grep REVISION= || echo none; done"
    said = host.run(["sh", "-c", script, "sh", *pids], check=False).stdout.split()
    for server, pid, revision in zip(wished.servers, pids, said, strict=True):
        if pid == "0" or revision != f"REVISION={dict(server.instance.env)['REVISION']}":
            found.append(f"{server.unit}: process {pid}, {revision}")
    return found


def _root(host: Host) -> Path:
    assert host.root is not None, "containers alone: their disks can be seen from outside"
    return host.root
