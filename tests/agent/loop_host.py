"""A real machine for the agent's loop: systemd as PID 1, the agent's archive, a small game."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from labkit import lab
from labkit.host import Host
from tests.agent.agent_process import AgentProcess
from warlock_agent import names, wire
from warlock_agent.model import (
    Authority,
    DesiredGame,
    DesiredHost,
    DesiredInstance,
    DesiredPort,
    DesiredService,
    Ledger,
    RemovedInstance,
)
from warlock_operator.transport.zipapp import agent_archive

LAB = f"agent-loop-{os.getpid()}"  # two runs at once would clean each other's machine
GUID = "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61"
AGENT = "/var/lib/warlock-test/agent.pyz"
PROGRAM = "/usr/local/bin/loop_game"
AUTHORITY = Authority("owner-a", 10, "holder-a", "host-uid-a")
GAME = DesiredGame(
    GUID, "loop", "Loop", (DesiredService("warlock-loop", (PROGRAM, "${PORT_GAME}", "${DELAY}")),)
)
T = TypeVar("T")


def instance(number: int, **changes: Any) -> DesiredInstance:
    """Give instance *number* of the small game; 0 is ``default``."""
    made = DesiredInstance(
        guid=GUID,
        instance_id=f"550e8400-e29b-41d4-a716-{number:012x}" if number else "default",
        namespace="games",
        name=f"loop-{number}",
        uid=f"uid-{number}",
        generation=1,
        path=f"/srv/loop-{number}",
        ports=(DesiredPort("game", "UDP", 28000 + number),),
        env=(("DELAY", "0"),),
    )
    return replace(made, **changes)


def unit(number: int) -> str:
    return names.unit_name("warlock-loop", instance(number).instance_id)


def desired(*instances: DesiredInstance, **changes: Any) -> DesiredHost:
    return DesiredHost("host-a", ("/srv",), (GAME,), instances, **changes)


def removal(*numbers: int) -> DesiredHost:
    gone = (instance(number) for number in numbers)
    return desired(remove=tuple(RemovedInstance(GUID, i.instance_id, i.uid) for i in gone))


def eventually(found: Callable[[], T], seconds: float = 20.0) -> T:
    """Give what *found* gives once it gives something; AssertionError after so long."""
    deadline = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.05)


class LoopHost:
    """The machine, and shortcuts."""

    def __init__(self, host: Host) -> None:
        self.host = host
        assert host.root is not None
        self.root: Path = host.root

    def prepare(self) -> None:
        """Put the agent and the game there."""
        for path, data, mode in (
            (AGENT, agent_archive().data, 0o500),
            (PROGRAM, (Path(__file__).parent / "on_host/loop_game.py").read_bytes(), 0o755),
        ):
            file = self.root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.write_bytes(data)
            file.chmod(mode)

    def clean(self) -> None:
        """Take away all that passes have made, however broken it is."""
        self.host.run(["bash", "-c", _CLEAN])

    def run(self, *argv: str, check: bool = True) -> str:
        return str(self.host.run(list(argv), check=check).stdout)

    def agent(self, *words: str) -> AgentProcess:
        return AgentProcess(
            [*self.host.ssh_argv(), f"python3 -I -S {AGENT} serve {' '.join(words)}"]
        )

    def ledger(self) -> Ledger:
        """Read the ledger as it lies on the disk."""
        from warlock_agent.ledger import LedgerFile

        return LedgerFile(str(self.root)).read()

    def converge(self, wanted: DesiredHost, authority: Authority = AUTHORITY) -> wire.Answer:
        """Make one pass by hand."""
        frame = wire.encode(wire.Converge(1, authority, wanted))
        (self.root / "root/frame.json").write_bytes(frame)
        argv = ["bash", "-c", f"python3 -I -S {AGENT} converge < /root/frame.json"]
        answer = wire.decode(self.host.run(argv, check=False).stdout.encode())
        assert isinstance(answer, (wire.Report, wire.Fault))
        return answer

    def main_pid(self, number: int) -> int:
        return int(self.run("systemctl", "show", "-P", "MainPID", unit(number)))

    def agents_running(self) -> int:
        """Count the processes that run the agent's archive."""
        return int(self.run("bash", "-c", _COUNT_AGENTS))

    def observe(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("python3", "-I", "-S", AGENT, "observe"))
        return found

    def managed_files(self) -> dict[str, str]:
        """Digest everything that passes manage, by path."""
        said = self.run("bash", "-c", _DIGESTS)
        return dict(reversed(line.split("  ", 1)) for line in said.splitlines())  # type: ignore[misc]


_CLEAN = """
cd /
systemctl stop 'warlock-*' 2>/dev/null
systemctl reset-failed 2>/dev/null
rm -rf /var/lib/warlock /run/warlock /etc/warlock /srv/loop-* \
  /etc/systemd/system/warlock-* /etc/systemd/system/multi-user.target.wants/warlock-*
systemctl daemon-reload
"""
_COUNT_AGENTS = f"""
for process in /proc/[0-9]*; do
  tr '\\0' ' ' < $process/cmdline | grep -q '^[^ ]*python3 -I -S {AGENT}' && echo $process
done 2>/dev/null | wc -l
"""
_DIGESTS = """
cd /
for file in $(find var/lib/warlock etc/warlock etc/systemd/system srv \\( -type f -o -type l \\) \
  -not -path 'var/lib/warlock/ledger/*' | grep -E 'warlock|loop' | sort); do
  if [ -L "$file" ]; then echo "$(readlink "$file")  $file"; else sha256sum "$file"; fi
done
"""


@contextlib.contextmanager
def machine() -> Iterator[LoopHost]:
    """Give a machine of the tests' own, and take it down again."""
    made = lab.up(LAB, hosts=1, cluster="none")
    try:
        host = LoopHost(made.hosts["host-a"])
        host.prepare()
        yield host
    finally:
        made.down()
