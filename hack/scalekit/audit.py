"""The operator's requests, as the API server's audit log has them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from demokit import account

USER = f"system:serviceaccount:{account.NAMESPACE}:{account.NAME}"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class Requests:
    """How often each verb was used on each resource: ``("patch", "gameinstances/status")``."""

    def __init__(self, counts: Counter[tuple[str, str]]) -> None:
        self.counts = counts

    @property
    def total(self) -> int:
        """All of them, watches too."""
        return self.counts.total()

    @property
    def lease_writes(self) -> int:
        """Renewals of the Lease, which happen whatever else does."""
        return sum(n for (verb, what), n in self.counts.items() if _is_lease(verb, what))

    @property
    def writes(self) -> int:
        """All others that change something."""
        written = sum(n for (verb, _), n in self.counts.items() if verb in _WRITES)
        return written - self.lease_writes

    def plain(self) -> dict[str, int]:
        """For JSON: by ``verb resource``, the most frequent first."""
        return {f"{verb} {what}": n for (verb, what), n in self.counts.most_common()}


def _is_lease(verb: str, resource: str) -> bool:
    return verb in _WRITES and resource == "leases"


class AuditLog:
    """Reads on where it stopped the last time, over the log's rotation too."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._inode, self._offset = 0, 0
        self.skip()

    def skip(self) -> None:
        """Leave out everything up to now."""
        found = self._file.stat()
        self._inode, self._offset = found.st_ino, found.st_size

    def requests(self) -> Requests:
        """Count what the operator has asked since the last call."""
        counts: Counter[tuple[str, str]] = Counter()
        for line in self._lines():
            if USER.encode() in line:
                event = json.loads(line)
                if event["user"]["username"] == USER and _counts(event):
                    counts[event["verb"], _resource(event)] += 1
        return Requests(counts)

    def _lines(self) -> list[bytes]:
        lines: list[bytes] = []
        if self._file.stat().st_ino != self._inode:
            for old in self._file.parent.glob("audit-*.log"):
                if old.stat().st_ino == self._inode:
                    lines += self._rest_of(old)
            self._inode, self._offset = self._file.stat().st_ino, 0
        return lines + self._rest_of(self._file)

    def _rest_of(self, file: Path) -> list[bytes]:
        with file.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


def _counts(event: dict[str, Any]) -> bool:
    """Whether it is the one line of a request that counts: of a watch that which says it began."""
    return bool((event["verb"] == "watch") == (event["stage"] == "ResponseStarted"))


def _resource(event: dict[str, Any]) -> str:
    ref = event.get("objectRef", {})
    names = (ref.get("resource", ""), ref.get("subresource", ""))
    return "/".join(name for name in names if name) or str(event.get("requestURI", ""))
