"""Rows: the network."""

from __future__ import annotations

from collections.abc import Sequence

from tests.e2e.faults import acts
from tests.e2e.faults.acts import refused
from tests.e2e.faults.relay import Budget, Relay
from tests.e2e.faults.row import ARENA, Act, Row, Says
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import healthy_agents

DELAY_SECONDS = 0.25
"""Each way, so half a second there and back."""

BYTES = [900 * number for number in range(1, 15)]
"""Where a connection is cut, in turn: after so many bytes from the machine, frames cut in two."""
PIECES = range(4, 18)
"""Likewise, after so many of its packets: the key exchange, the loader, the agent's frames."""

_TABLE = "nft add table inet fault; nft add chain inet fault"


def _drop(*chains: str) -> Act:
    """Drop what goes to (input) or comes from (output) the machine's sshd, silently."""
    ports = {"input": "dport", "output": "sport"}
    script = "; ".join(
        f"{_TABLE} {chain} '{{ type filter hook {chain} priority 0; }}'; "
        f"nft add rule inet fault {chain} tcp {ports[chain]} 22 drop"
        for chain in chains
    )
    return acts.shell("packets are dropped", script)


_UNDROP = acts.shell("packets pass again", "nft delete table inet fault")
_UNSEEN = (
    *refused("HostUnreachable"),
    Says(ARENA, "Ready", "Unknown", "NotSeen", ("out of sight",)),
    Says(ARENA, "Running", "Unknown", "NotSeen"),
)


def _half_open(name: str, text: str, *chains: str) -> Row:
    return Row(
        name,
        made=Act(text, _drop(*chains).do),
        says=_UNSEEN,
        cured=_UNDROP,
        healed=healthy_agents,
        heals_seconds=10,
    )


def _through_relay(relay: Relay) -> None:
    stage = relay.stage
    stage.notes["relay"] = relay
    stage.edit_host(address=relay.address, ssh={"port": relay.port})


def _bad_line(stage: Stage) -> None:
    loss = "tcp sport 22 numgen random mod 100 lt 5 drop"
    stage.shell(f"{_TABLE} output '{{ type filter hook output priority 0; }}'")
    stage.shell(f"nft add rule inet fault output {loss}")
    _through_relay(Relay(stage, delay_seconds=DELAY_SECONDS).start())
    acts.EDIT.do(stage)


def _cut(name: str, text: str, budgets: Sequence[Budget]) -> Row:
    def cut_often(stage: Stage) -> None:
        _through_relay(Relay(stage, budgets=budgets).start())
        acts.EDIT.do(stage)

    return Row(
        name,
        made=Act(f"a relay cuts {len(budgets)} connections, {text}; an edit", cut_often),
        unharmed=_cut_through,
        cured=Act("a good line", _straight),
        healed=healthy_agents,
        heals_seconds=10,
        starts=(1, 1),
        seen_seconds=90,
    )


def _cut_through(stage: Stage) -> bool:
    """Whether each cut has been made, and the edit has arrived all the same."""
    relay: Relay = stage.notes["relay"]
    return not relay.budgets and acts.edit_arrived(stage) and stage.unharmed()


def _straight(stage: Stage) -> None:
    _end_relay(stage)
    stage.restore_host()


def _end_relay(stage: Stage) -> None:
    stage.notes["relay"].stop()


ROWS: tuple[Row, ...] = (
    _half_open(
        "half-open, both directions", "nftables drops to and from port 22", "input", "output"
    ),
    _half_open("half-open, to the machine", "nftables drops what goes to port 22", "input"),
    _half_open("half-open, from the machine", "nftables drops what comes from port 22", "output"),
    Row(
        "cable pulled",
        made=Act("the machine's link is down", lambda stage: stage.machine.host.unplug()),
        says=_UNSEEN,
        cured=Act("it is up", lambda stage: stage.machine.host.plug()),
        healed=healthy_agents,
        heals_seconds=10,
    ),
    Row(
        "5 % loss and 500 ms delay",
        made=Act(
            "nftables drops 5 % from sshd, a relay delays 250 ms each way; an edit", _bad_line
        ),
        unharmed=lambda stage: acts.edit_arrived(stage) and stage.unharmed(),
        cured=Act("a good line", _straight),
        heals_seconds=15,
        after=lambda stage: _UNDROP.do(stage),
        starts=(1, 1),
        seen_seconds=60,
    ),
    _cut(
        "cut in the middle of a frame",
        f"each {BYTES[0]} bytes later",
        [Budget(bytes=number) for number in BYTES],
    ),
    _cut(
        "cut at each frame",
        "each one packet later",
        [Budget(pieces=number) for number in PIECES],
    ),
)
