"""What can go wrong in the lab: who can heal it decides the exit code."""

from __future__ import annotations


class LabError(Exception):
    """Something failed on the way; the message is one line, with where to look. Exit code 1."""

    exit_code = 1


class CannotCarry(LabError):
    """This machine lacks what the lab needs; the message says what to do. Exit code 2."""

    exit_code = 2


class NoSuchLab(LabError):
    """No lab, or no host, of that name runs here."""
