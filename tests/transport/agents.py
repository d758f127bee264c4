"""Archives of agents that are not what they should be, made like the real one."""

from __future__ import annotations

import shutil
from pathlib import Path

import warlock_agent
from warlock_operator.transport.zipapp import Archive, build

_PARTS = ("__init__.py", "model.py", "names.py", "reasons.py", "wire.py")

_PROLOGUE = """
import sys
from . import wire
from .model import Facts, ObservedHost

HELLO = wire.Hello(1, "", Facts(hostname="stub"), (), ObservedHost(machine_id="stub"))

def send(frame):
    raw(wire.encode(frame))

def raw(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

def frames():
    reader = wire.FrameReader()
    while True:
        data = sys.stdin.buffer.read1(65536)
        if not data:
            return
        for line in reader.feed(data):
            yield wire.decode(line)
"""


def odd_agent(directory: Path, main: str) -> Archive:
    """Build an agent whose ``main()`` has the body *main*: it knows HELLO, send, raw and frames."""
    package = directory / "warlock_agent"
    package.mkdir(parents=True, exist_ok=True)
    for name in _PARTS:
        shutil.copy(Path(warlock_agent.__file__).parent / name, package / name)
    body = "".join(f"    {line}\n" for line in main.strip().splitlines())
    (package / "__main__.py").write_text(f"{_PROLOGUE}\ndef main():\n{body}")
    return build(package)


OBEDIENT = """
send(HELLO)
for frame in frames():
    if isinstance(frame, wire.Ping):
        send(wire.Pong(frame.request))
    elif isinstance(frame, wire.Observe):
        send(wire.State(frame.request, HELLO.observed))
    else:
        send(wire.Fault(frame.request, "UnknownRequest", type(frame).__name__))
"""
