"""
Install packages with apt, as the one command of a transient unit: it outlives the connection.

Progress and result are files of the operation's directory, replaced atomically; whoever reconnects
reads them with :func:`read_progress`. Everything is safe to run again. Packages are never removed.
Source: apt-get(8); apt's README.progress-reporting (APT::Status-Fd).
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Callable, Optional

from .files import FileError, NewFile, Tree
from .packages import valid_package
from .units import valid_unit
from .wire import WireError, from_plain

RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
PROGRESS_FILE = "progress.json"
UNIT_DIR = "/etc/systemd/system"
LISTS_GLOB = "/var/lib/apt/lists/*_Packages*"
LISTS_MAX_AGE_SECONDS = 24 * 3600
LOCK_SECONDS = 600  # how long another apt may work before we give up
_RETRY_SECONDS = 3.0
_TAIL_LINES = 12
_MAX_MESSAGE = 2000

APT = (
    "apt-get",
    "-y",
    "-o",
    f"DPkg::Lock::Timeout={LOCK_SECONDS}",
    "-o",
    "Dpkg::Options::=--force-confdef",  # a question would wait for ever: keep what is there
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "Dpkg::Use-Pty=0",
)
ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",  # or it restarts running game servers
    "UCF_FORCE_CONFFOLD": "1",
    "LC_ALL": "C",  # messages are matched below
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class Progress:
    """
    How far an operation is. state: RUNNING, SUCCEEDED or FAILED; progress: percent, 0 to 100.

    step: ``Mask``, ``Update``, ``Repair`` or ``Install``; message: of a failure, apt's last lines.
    Times are wall clock, epoch; 0 is not yet.
    """

    state: str
    step: str
    progress: int
    message: str = ""
    started_at_seconds: int = 0
    ended_at_seconds: int = 0


class InstallError(Exception):
    """The installation can't go on; says why, with what apt wrote last."""


def read_progress(operation_dir: str, tree: Optional[Tree] = None) -> Optional[Progress]:
    """Read what an operation wrote last; None if there is nothing to be read."""
    try:
        data = (tree or Tree()).read(f"{operation_dir}/{PROGRESS_FILE}", 64 * 1024)
        made = from_plain(Progress, json.loads(data), "progress")
    except (FileError, ValueError, RecursionError, WireError):
        return None
    assert isinstance(made, Progress)
    return made


def parse_status(line: str) -> Optional[tuple[str, float, str]]:
    """
    Read a line of APT::Status-Fd: (``dlstatus`` or ``pmstatus``, percent, text); None for others.

    The package in the middle can hold colons (``name:amd64``), a percentage never does.
    """
    kind, _, rest = line.rstrip("\n").partition(":")
    if kind not in ("dlstatus", "pmstatus"):
        return None
    fields = rest.split(":")
    for index in range(1, len(fields) - 1):
        try:
            percent = float(fields[index])
        except ValueError:
            continue
        if 0.0 <= percent <= 100.0:
            return kind, percent, ":".join(fields[index + 1 :])
    return None


# part of an installation: the percentages of the whole that it spans
_SPANS = {"Update": (0, 10), "dlstatus": (10, 50), "pmstatus": (50, 100)}


def percent_of(step: str, kind: str, percent: float) -> int:
    """Place apt's own percentage of one part within the whole."""
    low, high = _SPANS["Update" if step == "Update" else kind]
    return int(low + (high - low) * percent / 100)


class Runner:
    """One installation; :meth:`run` does it all."""

    def __init__(
        self,
        packages: Sequence[str],
        mask: Sequence[str],
        operation_dir: str,
        tree: Optional[Tree] = None,
        timeout_seconds: float = 1800.0,
    ) -> None:
        """Touch nothing yet. operation_dir: exists, and is root's alone."""
        self._packages, self._mask = tuple(packages), tuple(mask)
        self._dir = operation_dir
        self._tree = tree or Tree()
        self._deadline = time.monotonic() + timeout_seconds
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        earlier = read_progress(operation_dir, self._tree)
        started = earlier.started_at_seconds if earlier and earlier.state == RUNNING else 0
        self._progress = Progress(RUNNING, "Mask", 0, "", started or int(time.time()))
        self._written_at = 0.0

    def run(self) -> bool:
        """Install; true if all went well. What happened is in the progress file either way."""
        try:
            self._check_names()
            self._say("Mask", 0)
            self._mask_units()
            self._install()
        except (InstallError, FileError, OSError) as error:
            self._end(FAILED, str(error))
            return False
        self._end(SUCCEEDED, "")
        return True

    def _check_names(self) -> None:
        for package in self._packages:
            if not valid_package(package):
                raise InstallError(f"not a package name: {package!r}")
        for unit in self._mask:
            if not valid_unit(unit):
                raise InstallError(f"not a unit name: {unit!r}")

    def _mask_units(self) -> None:
        """Keep units from being started by the packages that bring them; only where nothing is."""
        for unit in self._mask:
            path = f"{UNIT_DIR}/{unit}"
            if self._tree.signature(path) is None:
                self._tree.link(path, "/dev/null")

    # --- apt ---

    def _install(self) -> None:
        """
        Install; where apt says what is missing, do that and try again, each once.

        | apt says                                  | we do                 |
        |-------------------------------------------|-----------------------|
        | dpkg was interrupted                      | dpkg --configure -a   |
        | can't locate or fetch (stale, no lists)   | apt-get update        |
        """
        if not self._lists_are_fresh():
            self._update()
        remedies: list[tuple[tuple[str, ...], Callable[[], None]]] = [
            (("dpkg was interrupted",), self._repair),
            (
                ("Unable to locate package", "has no installation candidate", "Unable to fetch"),
                self._update,
            ),
        ]
        while True:
            self._say("Install", max(10, self._progress.progress))
            if self._apt(
                "install", "--no-install-recommends", "--no-remove", "--", *self._packages
            ):
                return
            said = "\n".join(self._tail)
            for index, (words, remedy) in enumerate(remedies):
                if any(word in said for word in words):
                    del remedies[index]
                    remedy()
                    break
            else:
                raise InstallError(f"apt-get install failed:\n{said}")

    @staticmethod
    def _lists_are_fresh() -> bool:
        """Package lists are there and not older than a day."""
        newest = 0.0
        for path in glob.iglob(LISTS_GLOB):
            with contextlib.suppress(OSError):
                newest = max(newest, os.stat(path).st_mtime, os.stat(path).st_ctime)
        return newest > time.time() - LISTS_MAX_AGE_SECONDS

    def _update(self) -> None:
        """Fetch the lists. A failure is not the end: what is needed may be known already."""
        self._say("Update", 0)
        lock_deadline = time.monotonic() + LOCK_SECONDS
        while not self._apt("update") and "Could not get lock" in "\n".join(self._tail):
            if time.monotonic() > lock_deadline:
                return
            time.sleep(_RETRY_SECONDS)  # apt waits for dpkg's lock by itself, not for this one

    def _repair(self) -> None:
        """Finish what an interrupted dpkg left; another one at work is waited for by apt itself."""
        self._say("Repair", self._progress.progress)
        self._execute(["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"])

    def _apt(self, *arguments: str) -> bool:
        """Run apt-get and follow its progress; true if it succeeded."""
        reader, writer = os.pipe()
        try:
            argv = [*APT, "-o", f"APT::Status-Fd={writer}", *arguments]
            return self._execute(argv, reader, writer)
        finally:
            os.close(reader)

    def _execute(self, argv: list[str], reader: int = -1, writer: int = -1) -> bool:
        """Run a program until it ends or time is up; keep the last lines, pass all on."""
        import subprocess

        self._tail.clear()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            pass_fds=(writer,) if writer >= 0 else (),
        )
        if writer >= 0:
            os.close(writer)
        assert process.stdout is not None
        with process.stdout:
            try:
                self._follow(process.stdout.fileno(), reader)
                return process.wait(max(1.0, self._deadline - time.monotonic())) == 0
            except (InstallError, subprocess.TimeoutExpired) as error:
                process.terminate()  # what dpkg left undone is repaired by the next run
                process.wait()
                raise InstallError(f"{argv[0]} took too long") from error

    def _follow(self, output: int, status: int) -> None:
        """Take in the program's output until it is closed; packages' scripts may hold the other."""
        import selectors

        partial = {output: b"", status: b""}
        take = {output: self._take_output, status: self._take_status}
        with selectors.DefaultSelector() as selector:
            for descriptor in (output, status):
                if descriptor >= 0:
                    selector.register(descriptor, selectors.EVENT_READ)
            while output in {key.fd for key in selector.get_map().values()}:
                remaining = self._deadline - time.monotonic()
                if remaining <= 0:
                    raise InstallError("out of time")
                for key, _ in selector.select(min(remaining, 5.0)):
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fd)
                    lines = (partial[key.fd] + data).split(b"\n")
                    partial[key.fd] = lines.pop()[-4096:]
                    for line in lines if data else [*lines, partial[key.fd]]:
                        take[key.fd](line.decode("utf-8", "replace"))

    def _take_output(self, line: str) -> None:
        if line.strip():
            self._tail.append(line.rstrip()[:400])
            with contextlib.suppress(OSError):
                os.write(1, line.encode("utf-8", "replace") + b"\n")  # into the unit's journal

    def _take_status(self, line: str) -> None:
        status = parse_status(line)
        if status is not None:
            kind, percent, text = status
            placed = percent_of(self._progress.step, kind, percent)
            self._say(self._progress.step, max(placed, self._progress.progress), text)

    # --- what others see ---

    def _say(self, step: str, progress: int, message: str = "") -> None:
        """Note how far we are; a new step at once, percentages at most twice a second."""
        before = self._progress
        self._progress = replace(
            before, step=step, progress=min(progress, 99), message=message[:_MAX_MESSAGE]
        )
        if step != before.step or time.monotonic() - self._written_at >= 0.5:
            self._write()

    def _end(self, state: str, message: str) -> None:
        done = 100 if state == SUCCEEDED else self._progress.progress
        self._progress = replace(
            self._progress,
            state=state,
            progress=done,
            message=message[-_MAX_MESSAGE:],
            ended_at_seconds=int(time.time()),
        )
        self._write()

    def _write(self) -> None:
        data = json.dumps(asdict(self._progress)).encode()
        self._tree.write(NewFile(f"{self._dir}/{PROGRESS_FILE}", data, 0o600))
        self._written_at = time.monotonic()


def run_install(
    apt_packages: Sequence[str],
    mask_units: Sequence[str],
    operation_dir: str,
    timeout_seconds: float = 1800.0,
) -> bool:
    """Install, and write progress and result into *operation_dir*; true if all went well."""
    return Runner(apt_packages, mask_units, operation_dir, timeout_seconds=timeout_seconds).run()
