"""
Directories, who has each, and which lie inside others. Pure; used on both sides of the wire.

One instance's directory inside another's would be one tenant's files in another's hands. A host of
hundreds asks for each of them at every pass, so nobody is compared with everybody.
"""

from __future__ import annotations

import bisect


class Directories:
    """Who has which directory."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._sorted: list[str] = []

    def take(self, path: str, holder: str) -> None:
        """Give *path* to *holder*, unless somebody has it."""
        if path not in self._holders:
            self._holders[path] = holder
            bisect.insort(self._sorted, path)

    def in_the_way(self, path: str, asker: str) -> str:
        """
        Name who but *asker* has *path*, one around it (the outermost first), or one inside it.

        Args:
            path: absolute and normal, of a length that somebody has looked at: each of its parents
                is looked up. What is held already may be anything.

        Returns:
            The holder; empty where nobody is in the way.
        """
        around = (path[:end] for end, letter in enumerate(path) if letter == "/")
        for one in (path, *around):
            holder = self._holders.get(one, asker)
            if holder != asker:
                return holder
        inside = path + "/"
        for at in range(bisect.bisect_left(self._sorted, inside), len(self._sorted)):
            if not self._sorted[at].startswith(inside):
                break
            if self._holders[self._sorted[at]] != asker:
                return self._holders[self._sorted[at]]
        return ""
