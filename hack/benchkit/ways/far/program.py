"""
The program of ``ways/program.py``: makes a machine as wished. Python's library alone.

Compares before it writes, writes beside and renames, reloads at most once, asks systemd at most
three times, whatever the number of servers. ``wish`` is put into its globals.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import Any

wish: dict[str, Any] = globals().get("wish", {})


def same(path: str, content: str, mode: int) -> bool:
    try:
        with open(path) as file:
            return file.read() == content and os.fstat(file.fileno()).st_mode & 0o777 == mode
    except FileNotFoundError:
        return False


def put(path: str, content: str, mode: int) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    os.rename(path + ".new", path)


def own(path: str, user: str, mode: int) -> None:
    there = pwd.getpwnam(user)
    try:
        found = os.stat(path)
        if (found.st_uid, found.st_mode & 0o777) == (there.pw_uid, mode):
            return
    except FileNotFoundError:
        os.makedirs(path)
    os.chown(path, there.pw_uid, there.pw_gid)
    os.chmod(path, mode)


def converge() -> int:
    reload, restart = False, []
    for user, path, mode in wish["directories"]:
        own(path, user, mode)
    for unit, path, content, mode, unit_file in wish["files"]:
        if not same(path, content, mode):
            put(path, content, mode)
            reload = reload or unit_file
            if unit and unit not in restart:
                restart.append(unit)
    for path, target in wish["links"]:
        if not os.path.islink(path):
            os.symlink(target, path)
            reload = True
    if reload:
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    if restart:
        subprocess.run(["systemctl", "restart", *restart], check=True)
    others = [unit for unit in wish["units"] if unit not in set(restart)]
    if others:
        asked = ["systemctl", "is-active", *others]
        states = subprocess.run(asked, capture_output=True, text=True).stdout.split()
        down = [unit for unit, state in zip(others, states, strict=True) if state != "active"]
        if down:
            subprocess.run(["systemctl", "start", *down], check=True)
    return len(restart)


def look() -> int:
    asked = ["systemctl", "is-active", *wish["units"]]
    return len(subprocess.run(asked, capture_output=True, text=True).stdout.split())


print(converge() if wish["do"] == "converge" else look(), flush=True)
