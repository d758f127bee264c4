"""What starting the agent loads: the hands import nothing large before it is needed."""

from __future__ import annotations

import subprocess

import pytest

from tests.transport.pythons import supported

_HANDS = (
    "cgroup dbus files install journal marshal message packages sockdiag "
    "sockets systemd units unmarshal users"
)
_LARGE = ("asyncio", "subprocess", "pathlib", "ctypes", "logging", "urllib")
_PROGRAM = f"""
import sys
sys.path.insert(0, sys.argv[1])
import importlib
for name in {_HANDS.split()!r}:
    importlib.import_module("warlock_agent." + name)
print([name for name in {_LARGE!r} if name in sys.modules])
"""


@pytest.mark.parametrize("python", supported())
def test_the_hands_import_nothing_large_on_any_python(python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", _PROGRAM, "operator"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
