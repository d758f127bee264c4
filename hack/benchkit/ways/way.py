"""What every way can do, and what is timed of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchkit.machines import Wishes
from labkit.host import Host


class Way(Protocol):
    """
    One way to make machines as wished. Only :meth:`run` and :meth:`look` are timed.

    name: short, for ``--only`` and results. title: what it is, for readers. slow: measured in few
    trials. notices: a run on machines that are as wished is a no-op that changes nothing.
    """

    name: str
    title: str
    slow: bool

    def open(self, hosts: Sequence[Host]) -> None:
        """Connect, where the way keeps a connection; whatever an expert has ready beforehand."""
        ...

    def wish(self, wishes: Wishes) -> None:
        """Take what the next :meth:`run` is to make true, and write it as the way likes it."""
        ...

    def run(self) -> None:
        """Make it true. Raises: LabError."""
        ...

    def look(self) -> None:
        """Learn how every server is, and change nothing. Raises: LabError."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...
