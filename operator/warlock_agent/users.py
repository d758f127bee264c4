"""
System users of instances: look them up, make many by one call of systemd-sysusers.

Called by observe (look up) and apply (make). Never removes one: the next user would own its files.
Source: sysusers.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from .digits import number_of
from .files import FileError, Signature, Tree

PASSWD = "/etc/passwd"  # noqa: S105
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_HOME = re.compile(r"/[A-Za-z0-9._/-]*")
_NO_SHELL = "/usr/sbin/nologin"


class UserError(Exception):
    """Users could not be made; says what systemd-sysusers said."""


@dataclass(frozen=True)
class NewUser:
    """A system user to be made. home: absolute, not created."""

    name: str
    home: str


@dataclass(frozen=True)
class User:
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str


def parse_passwd(text: str) -> dict[str, User]:
    """Read /etc/passwd; lines that are none are left out."""
    users = {}
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) == 7:
            uid, gid = number_of(fields[2]), number_of(fields[3])
            if uid is not None and gid is not None:
                users[fields[0]] = User(fields[0], uid, gid, fields[5])
    return users


def sysusers_config(users: Iterable[NewUser]) -> str:
    """
    Write the lines that make *users*, each with a group of its own.

    Raises:
        UserError: a name or home that is not plain, and could mean something to sysusers.
    """
    lines = []
    for user in users:
        if not _NAME.fullmatch(user.name) or not _HOME.fullmatch(user.home):
            raise UserError(f"not a plain user name and home: {user.name!r}, {user.home!r}")
        lines.append(f'u {user.name} - "Warlock instance" {user.home} {_NO_SHELL}\n')
    return "".join(lines)


class Users:
    """The users of this machine. Keep it: the file is read again only when it has changed."""

    def __init__(self, tree: Optional[Tree] = None) -> None:
        """Touch nothing yet."""
        self._tree = tree or Tree()
        self._signature: Optional[Signature] = None
        self._users: dict[str, User] = {}
        self._names: dict[int, str] = {}

    def all(self) -> dict[str, User]:
        """Give the users by name. Raises: FileError."""
        signature = self._tree.signature(PASSWD)
        if signature is None:
            raise FileError(PASSWD, 0, "is missing")
        if signature != self._signature:
            self._users = parse_passwd(self._tree.read(PASSWD).decode("utf-8", "replace"))
            # Of several with one number the first counts, as for getpwuid(3).
            self._names = {user.uid: user.name for user in reversed(self._users.values())}
            self._signature = signature
        return self._users

    def find(self, names: Iterable[str]) -> dict[str, User]:
        """Give those of *names* that exist. Raises: FileError."""
        users = self.all()
        return {name: users[name] for name in names if name in users}

    def name_of(self, uid: int) -> str:
        """
        Give the name of a user, or its number where it has none.

        As :meth:`all` or :meth:`find` saw the users last: it is asked once a file. Raises:
        FileError, where it has to look for the first time.
        """
        if self._signature is None:
            self.all()
        return self._names.get(uid) or str(uid)

    def create(self, users: Sequence[NewUser], timeout_seconds: float = 60.0) -> dict[str, User]:
        """
        Make those of *users* that do not exist, by one call; give all of them.

        Raises:
            UserError: a name is not plain, or the call failed or left one out.
            FileError: /etc/passwd can't be read.
        """
        names = [user.name for user in users]
        there = self.find(names)
        missing = [user for user in users if user.name not in there]
        if missing:
            _sysusers(sysusers_config(missing), timeout_seconds)
            there = self.find(names)
        left_out = [name for name in names if name not in there]
        if left_out:
            raise UserError(f"systemd-sysusers did not make {', '.join(left_out[:5])}")
        return there


def _sysusers(config: str, timeout_seconds: float) -> None:
    import subprocess

    try:
        done = subprocess.run(
            ["systemd-sysusers", "-"],
            input=config.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"systemd-sysusers: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise UserError(f"systemd-sysusers: {said or f'exit status {done.returncode}'}")
