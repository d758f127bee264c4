"""What no fault may do to a machine or to the operator, as far as bytes tell."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from warlock_agent import ledger, names


def managed(guid: str, service: str, instance_id: str) -> tuple[str, ...]:
    """Give the managed files whose content concerns an instance, the shared template first."""
    return (names.template_path(service), *own_files(guid, service, instance_id))


def own_files(guid: str, service: str, instance_id: str) -> tuple[str, ...]:
    """Give those that it does not share: drop-in, environment, registration."""
    return (
        names.drop_in_path(service, instance_id),
        names.env_path(guid, instance_id),
        names.registration_path(guid, instance_id),
    )


def is_whole(path: str, data: bytes) -> bool:
    """Whether a managed file ends as its kind does."""
    if path.endswith(".app"):
        return data.startswith(b"/") and not data.endswith(b"/")
    if path.endswith(".env"):
        return b'\nWARLOCK_PATH="/' in data and data.endswith(b'"\n')
    return data.startswith(names.MARKER.encode()) and data.endswith(b"\n")


def in_ledger(data: bytes) -> list[str]:
    """Check the ledger's bytes: they can be read whole, and no port is given twice."""
    try:
        entries = ledger.decode(data).instances
    except ValueError as error:
        return [f"the ledger is half-written: {error}"]
    given = Counter((port.protocol, port.number) for each in entries for port in each.ports)
    return [f"port {slot} is given {count} times" for slot, count in given.items() if count > 1]


def tracebacks(log: Path, begin: int) -> list[str]:
    """Give what the operator's log has of exceptions, from the position *begin* on."""
    with log.open(errors="replace") as stream:
        stream.seek(begin)
        return [line.strip()[:2000] for line in stream if _is_traceback(line)]


def _is_traceback(line: str) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return line.startswith("Traceback")
    # kopf says what it gives up by with a traceback of its own tasks, which have no frame of ours.
    return isinstance(record, dict) and "/warlock_operator/" in record.get("exception", "")
