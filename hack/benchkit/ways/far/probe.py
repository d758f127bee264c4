"""
Kills on request and says when; says when systemd signals. Runs on a machine, beside the agent.

Lines in: a process id. Lines out: ``killed SECONDS`` and ``signal UNIT SECONDS``, of the monotonic
clock, which a container shares with the machine that carries it. ``ARCHIVE`` is the agent's own.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

ARCHIVE = ""


def main() -> None:
    sys.path.insert(0, ARCHIVE)
    from warlock_agent.systemd import Systemd, UnitChanged

    systemd = Systemd()
    systemd.events()
    print("ready", flush=True)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(systemd.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            now = time.monotonic()
            if descriptor == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                killed_at = time.monotonic()
                os.kill(int(line), signal.SIGKILL)
                print(f"killed {killed_at}", flush=True)
            else:
                for event in systemd.events():
                    if isinstance(event, UnitChanged):
                        print(f"signal {event.unit} {now}", flush=True)


main()
