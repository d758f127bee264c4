"""
A process of simulated machines: ``python -m scalekit.serve``; :mod:`fleet` starts and asks it.

Asked over a Unix socket, one line in, one line of JSON out: ``tally``, or ``reset`` for a tally
that begins anew. What the machines are stays until the process ends.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import json
from pathlib import Path

import asyncssh

from scalekit.agent import Tally
from scalekit.sshd import listen
from warlock_operator.transport.machine import Machine


class Machines:
    """All machines of this process, made when somebody logs in."""

    def __init__(self) -> None:
        self.by_address: dict[str, Machine] = {}
        self.tally = Tally()

    def at(self, address: str) -> Machine:
        """Give the machine at *address*."""
        if address not in self.by_address:
            digest = hashlib.sha256(f"scale/{address}".encode()).hexdigest()
            self.by_address[address] = Machine(digest[:32])
        return self.by_address[address]

    def reset(self) -> None:
        """Count from nothing again; those who count already hold this very tally."""
        for entry in dataclasses.fields(Tally):
            setattr(self.tally, entry.name, getattr(Tally(), entry.name))

    def told(self) -> dict[str, object]:
        """Give everything that was counted, and what the machines are now."""
        machines = self.by_address.values()
        return {
            **vars(self.tally),
            "machines": len(machines),
            "passes": sum(machine.passes for machine in machines),
            "changes": sum(machine.changes for machine in machines),
            "running": sum(
                unit.active_state == "active"
                for machine in machines
                for unit in machine.state.units
            ),
        }


async def _serve(port: int, folder: Path) -> None:
    machines = Machines()
    host_key = asyncssh.read_private_key(folder / "host_key")
    client_key = asyncssh.read_public_key(folder / "client_key.pub")
    await listen(port, host_key, client_key, machines.at, machines.tally)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.readline()).strip() == b"reset":
            machines.reset()
        writer.write(json.dumps(machines.told()).encode() + b"\n")
        writer.close()

    control = await asyncio.start_unix_server(answer, folder / f"{port}.socket")
    await control.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="scalekit.serve", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="of every machine's sshd")
    parser.add_argument("--folder", type=Path, required=True, help="keys, and the socket")
    chosen = parser.parse_args()
    asyncio.run(_serve(chosen.port, chosen.folder))


if __name__ == "__main__":
    main()
