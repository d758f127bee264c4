"""
Numbers as the kernel, dpkg and passwd write them. Pure.

``str.isdigit`` is true of "²" and of a million nines, which ``int`` takes for an error.
"""

from __future__ import annotations

from typing import Optional

MAX_DIGITS = 20
"""Of 2**64."""


def number_of(text: str) -> Optional[int]:
    """Read a decimal number of ASCII digits; None for anything else."""
    plain = len(text) <= MAX_DIGITS and text.isascii() and text.isdigit()
    return int(text) if plain else None
