"""The lab of a test run: which one is ours, and what is kept of it when a test has failed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labkit import lab, locks, state
from labkit.errors import LabError
from labkit.lab import Lab

NAME = os.environ.get("WARLOCK_TEST_LAB", "test")
# For work on the tests: the lab stays, with what is installed on its hosts, for the next run.
KEEP = os.environ.get("WARLOCK_TEST_KEEP", "") not in ("", "0")
_TAIL_BYTES = 5 * 1024 * 1024


@contextmanager
def own_lab() -> Iterator[Lab]:
    """Give a fresh lab without hosts, that no other test run has, and take it down afterwards."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locks.held(f"run-{NAME}", limit_seconds=0.0))
            name = NAME
        except LabError:  # another run has it: that one's lab stays as it is
            name = f"{NAME}-{os.getpid()}"
        _remove_abandoned()
        if not KEEP:
            lab.down(name)  # a run that was killed may have left it
        made = lab.up(name, hosts=0)
        try:
            yield made
        finally:
            if not KEEP:
                lab.down(name)


@contextmanager
def second_cluster(first: Lab) -> Iterator[Lab]:
    """Give a control plane beside *first*, with no hosts of its own, for as long as it is asked."""
    name = f"{first.name}-rival"
    if not KEEP:
        lab.down(name)
    made = lab.up(name, hosts=0)
    try:
        yield made
    finally:
        if not KEEP:
            lab.down(name)


def keep_logs(name: str) -> Path | None:
    """Copy what the lab's operators and control plane said; gives where to, None: no such lab."""
    if name not in state.names():
        return None
    folder = Path(tempfile.mkdtemp(prefix="warlock-test-logs-"))
    found = lab.load(name)
    files = [*found.folder.glob("*/*.log"), *found.folder.glob("hosts/*/console.log")]
    for file in files:
        _copy_tail(file, folder / "-".join(file.relative_to(found.folder).parts))
    for host in found.hosts.values():
        if host.running:
            said = host.run(["journalctl", "--no-pager", "-n", "2000"], check=False).stdout
            (folder / f"journal-{host.name}.log").write_text(said)
    return folder


def _copy_tail(source: Path, target: Path) -> None:
    """Copy the last megabytes: an audit log is long, and its end is what one looks at."""
    with source.open("rb") as stream, target.open("wb") as copy:
        stream.seek(max(0, source.stat().st_size - _TAIL_BYTES))
        shutil.copyfileobj(stream, copy)


def _remove_abandoned() -> None:
    """Remove labs of second runs that were killed: their process is no more."""
    for name in state.names():
        number = name.removeprefix(f"{NAME}-")
        if number != name and number.isdigit() and not Path(f"/proc/{number}").exists():
            lab.down(name)
