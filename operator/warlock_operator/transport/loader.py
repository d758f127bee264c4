"""
Start the agent on a host by one fixed command line, and put it there where it is missing. Sans-IO.

sshd hands a command to the user's login shell, whichever that is, and the shell may print what it
likes first. So the command is one line that sh, bash, dash, fish, csh and tcsh read alike: all that
is not plain words stands between single quotes, with nothing in it that any of them looks at there
(no quote, backslash, ``!`` or newline). Its words::

    [sudo -n] python3 -I -S -c '<loader>' <marker> <sha256> <directory> <machines> [word …]

What the loader says, each a line that starts with ``warlock-<marker>:`` (the command line itself,
echoed by a noisy shell, does not contain that)::

    OLD 3.8.10        python3 is too old; the loader ends
    OTHER 0f3a…       it is another machine than those that may be; the loader ends
    NEED              the archive is missing or not what its name says: "<length>\\n" and it, please
    FAILED <why>      it could not be put there, or was not what was announced; the loader ends
    START             what follows is the agent's: ``<directory>/<sha256>.pyz serve [word …]``

Any Python 3 can read the loader: the check of the version comes before all that 3.9 brought.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from warlock_operator.errors import (
    AgentFailed,
    DiskFull,
    HostReplaced,
    OperatorError,
    PythonMissing,
    PythonTooOld,
    ReadOnlyFileSystem,
    SudoDenied,
)

OLDEST_PYTHON = (3, 9)
KEPT_ARCHIVES = 3
"""Archives that stay on a host: the current one, and those that another operator may be running."""

_TOKEN = "warlock-{marker}:"  # noqa: S105  (no secret)
_LINE_BYTES = 4096
_WORD = re.compile(r"[A-Za-z0-9._/:=-]+")

# A bar stands for a newline. Descriptor 0 is read by hand: what a buffer read ahead would be lost
# to the agent. umask: some logins have 077, and Warlock's registrations are for all to read. Only
# root can write in the agent's directory, so what was checked is what runs. The time of an archive
# is that of its last start, so those in use are the last that sweep() takes.
_SOURCE = """
import os,sys
m,d,a=sys.argv[1:4]
def say(t,s=None):
 os.write(1,("warlock-"+m+":"+t+chr(10)).encode("utf-8","replace"))
 if s is not None: sys.exit(s)
if sys.version_info<{oldest}: say("OLD "+sys.version.split()[0],4)
try:
 with open("/etc/machine-id") as f: i=f.read().strip()
except OSError: i="unknown"
if sys.argv[4]>"-" and i not in sys.argv[4].split(":"): say("OTHER "+i,6)
import hashlib,stat
os.umask(0o022)
p=a+"/"+d+".pyz"
def safe(s,kind): return kind(s.st_mode) and s.st_uid==os.geteuid() and not s.st_mode&0o22
def good():
 try: f=os.open(p,os.O_RDONLY+os.O_NOFOLLOW+os.O_CLOEXEC)
 except OSError: return False
 with open(f,"rb") as f:
  return safe(os.fstat(f.fileno()),stat.S_ISREG) and hashlib.sha256(f.read()).hexdigest()==d
def take(n):
 b=bytearray()
 while len(b)<n:
  c=os.read(0,n-len(b))
  if not c: say("FAILED the archive broke off",5)
  b+=c
 return bytes(b)
def fetch():
 say("NEED")
 n=b""
 while not n.endswith(bytes([10])) and len(n)<12: n+=take(1)
 b=take(int(n))
 h=hashlib.sha256(b).hexdigest()
 if not h==d: say("FAILED the archive came as sha256 "+h,5)
 t=p+"."+os.urandom(8).hex()
 f=os.open(t,os.O_WRONLY+os.O_CREAT+os.O_EXCL+os.O_CLOEXEC,0o500)
 try:
  with open(f,"wb") as f:
   f.write(b)
   f.flush()
   os.fsync(f.fileno())
  os.rename(t,p)
 except OSError:
  os.unlink(t)
  raise
 g=os.open(a,os.O_RDONLY)
 os.fsync(g)
 os.close(g)
def sweep():
 e=sorted((-os.lstat(a+"/"+n).st_mtime,n) for n in os.listdir(a))
 for t,n in e[{kept}:]: os.unlink(a+"/"+n)
try:
 os.makedirs(os.path.dirname(a),exist_ok=True)
 os.makedirs(a,0o700,exist_ok=True)
 if not safe(os.lstat(a),stat.S_ISDIR): say("FAILED "+a+" can be written by others: chown, chmod 0700",5)
 if not good():
  fetch()
  try: sweep()
  except OSError: pass
 os.utime(p)
except OSError as e: say("FAILED "+str(e),5)
say("START")
x=sys.executable or "python3"
os.execvp(x,[x,"-I","-S",p,"serve"]+sys.argv[5:])
"""  # noqa: E501  (its lines are not ours to break: each is a statement)

LOADER = (
    'exec("""'
    + _SOURCE.strip().format(oldest=OLDEST_PYTHON, kept=KEPT_ARCHIVES).replace("\n", "|")
    + '""".replace("|",chr(10)))'
)


def command_line(
    marker: str,
    digest: str,
    directory: str,
    words: Sequence[str] = (),
    *,
    machine_ids: Sequence[str] = (),
    sudo: bool = False,
) -> str:
    """
    Give the line that any login shell can run.

    Args:
        marker: new for each connection; letters and digits.
        digest: sha256 of the archive, hex.
        directory: where archives lie on the host; absolute.
        words: for the agent, after ``serve``.
        machine_ids: nothing is written where /etc/machine-id is none of these; empty: anywhere.
        sudo: become root by ``sudo -n``.

    Raises:
        AgentFailed: a word has a character that some shell would treat specially.
    """
    plain = (marker, digest, directory, ":".join(machine_ids) or "-", *words)
    for word in plain:
        if not _WORD.fullmatch(word):
            raise AgentFailed(
                f"{word!r} can't stand in a command line: use A-Z a-z 0-9 . _ / : = -"
            )
    become = "sudo -n " if sudo else ""
    return f"{become}python3 -I -S -c '{LOADER}' {' '.join(plain)}"


@dataclass(frozen=True)
class Said:
    """One line of the loader: its word (``START``) and the text after it."""

    word: str
    text: str = ""


class Greeting:
    """
    Find the loader's lines in what the login shell prints, up to START.

    noise: what came before the first of them, for messages. rest: after START, what is the
    agent's already.
    """

    def __init__(self, marker: str, noise_bytes: int) -> None:
        """noise_bytes: how much to skip at most before the loader speaks."""
        self._token = _TOKEN.format(marker=marker).encode("ascii")
        self._limit = noise_bytes
        self._held = b""
        self.noise = b""
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[Said]:
        """
        Yield each line of the loader that *data* completes.

        Raises:
            AgentFailed: more noise, or a longer line, than we read.
        """
        self._held += data
        while (at := self._held.find(self._token)) >= 0:
            self._skip(self._held[:at])
            self._held = self._held[at:]
            line, newline, rest = self._held.partition(b"\n")
            if not newline:
                self._bound(_LINE_BYTES, "the loader wrote an endless line")
                return
            self._held = rest
            text = line[len(self._token) :].decode("utf-8", "replace")
            said = Said(*text.rstrip("\r").split(" ", 1))
            if said.word == "START":
                self.rest, self._held = self._held, b""
            yield said
            if said.word == "START":
                return
        self._bound(self._limit - len(self.noise), self._too_noisy)

    def ended(self) -> None:
        """Take what is held as noise: nothing more will come."""
        self.noise += self._held[: self._limit]
        self._held = b""

    @property
    def _too_noisy(self) -> str:
        return (
            f"the login shell printed more than {self._limit} bytes and started no agent; make its "
            "start-up files silent for sessions that are not interactive"
        )

    def _skip(self, noise: bytes) -> None:
        self.noise += noise
        if len(self.noise) > self._limit:
            raise AgentFailed(self._too_noisy)

    def _bound(self, limit: int, message: str) -> None:
        if len(self._held) > limit:
            raise AgentFailed(message)


_SUDO_HINT = (
    "give the user a line such as '{user} ALL=(root) NOPASSWD: ALL' in /etc/sudoers.d/warlock, or "
    "connect as root"
)
_PYTHON_LOST = re.compile(
    r"python3['\":]*\s*(command )?not found|unknown command:? '?python3", re.I
)

_DISK: dict[str, type[OperatorError]] = {
    f"[Errno {errno.ENOSPC}": DiskFull,
    f"[Errno {errno.EDQUOT}": DiskFull,
    f"[Errno {errno.EROFS}": ReadOnlyFileSystem,
}
"""Errors by how Python writes an OSError, up to the bracket; hosts are Linux as we are."""


def refused(said: Said, machine_ids: Sequence[str] = ()) -> OperatorError:
    """Turn the loader's last word into an error that says what to do."""
    if said.word == "OTHER":
        return HostReplaced.by(said.text, machine_ids)
    if said.word == "OLD":
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return PythonTooOld(f"python3 on the host is {said.text}: install {oldest} or newer")
    if said.word == "FAILED":
        kind = _DISK.get(said.text.partition("]")[0], AgentFailed)
        return kind(f"the agent could not be put on the host: {said.text}")
    return AgentFailed(f"the loader said {said.word[:40]!r}, which means nothing")


def not_started(
    status: int | None, stderr: str, noise: str, user: str, sudo: bool
) -> OperatorError:
    """
    Say why the loader never spoke.

    Args:
        status: exit status of the command; None when it was killed or the channel broke.
        stderr: its last lines, with whatever the login shell printed there.
        noise: what the login shell printed on stdout.
        user: the SSH user.
        sudo: whether the command went through ``sudo -n``.
    """
    # Each shell has its own words and status (127, and 1 from csh and sudo) for a lost program.
    if _PYTHON_LOST.search(stderr):
        return PythonMissing("no python3 on the host: install it (apt-get install python3)")
    lines = [line.strip() for line in stderr.splitlines() if "sudo" in line]
    if sudo and lines:
        return SudoDenied(f"{lines[-1][:300]}: {_SUDO_HINT.format(user=user)}")
    if status == 127:
        return PythonMissing(f"no python3 on the host: install it; it said {tail(stderr)}")
    return AgentFailed(
        f"the agent did not start: exit status {'none' if status is None else status}; the host "
        f"said {tail(stderr) or tail(noise) or 'nothing'}"
    )


def tail(text: str) -> str:
    """The last 300 characters, on one line: for a message."""
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())[-300:]
