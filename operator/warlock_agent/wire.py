"""
The frames between operator and agent, and how they become bytes. Sans-IO.

A frame is one line of JSON, ``{"frame": "<class>", ...fields}``, ended by a newline, of at most
:data:`MAX_FRAME_BYTES`. Dataclasses become objects, tuples arrays; a field that has its default
value is left out. Decoding checks every field and names the one that is wrong.

Who sends what::

    operator -> agent   Converge Observe Exchange Ping
    agent -> operator   Hello, then for each request one of Report State Exchanged Pong Fault;
                        unasked: UnitsChanged, Sample, OperationChanged, Fault (request 0)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Callable, Literal, Optional, Union, get_type_hints

from .model import (
    Authority,
    DesiredHost,
    Facts,
    Feature,
    LedgerEntry,
    ObservedHost,
    ObservedUnit,
    Operation,
    Refusal,
    StepResult,
    UnitSample,
)
from .reasons import Misspoken, Reason

MAX_FRAME_BYTES = 32 * 1024 * 1024
"""A host of 1,000 instances is about 2 MB; more than this is a fault, not a host."""
MAX_NUMBER = 2**63


class WireError(Exception):
    """
    A line that is no frame. The text names the field; the channel lives on.

    request: the request that the line named, so that it can be answered; 0 where it named none.
    """

    request = 0


class UnknownFrame(WireError):
    """A frame of a kind that this side has never heard of."""


# --- requests -----------------------------------------------------------------


@dataclass(frozen=True)
class Converge:
    """
    Make the host so. lock_seconds: how long to wait for another pass to let go.

    remembers: the host that was told last need not be told again, see :mod:`.recall`.
    """

    request: int
    authority: Authority
    desired: DesiredHost
    lock_seconds: int = 60
    remembers: bool = False


@dataclass(frozen=True)
class Observe:
    """Look, touch nothing. remembers: as in :class:`Converge`."""

    request: int
    remembers: bool = False


@dataclass(frozen=True)
class Exchange:
    """
    Send one datagram (or one request over TCP) to a port of this host, and give back what comes.

    For game queries whose port can't be reached from outside. payload: base64. answers: how many
    datagrams to wait for at most.
    """

    request: int
    protocol: str
    port: int
    payload: str
    timeout_milliseconds: int = 1000
    answers: int = 1


@dataclass(frozen=True)
class Ping:
    """Proof that the operator lives; an agent that hears nothing ends."""

    request: int


# --- answers ------------------------------------------------------------------


@dataclass(frozen=True)
class Report:
    """
    What a pass did, and the host after it.

    next_pass_seconds: look again after so long though nothing was signalled; 0 when there is no
    need. reloads: how often systemd re-read its files. elapsed_milliseconds: on the host.
    """

    request: int
    results: tuple[StepResult, ...]
    refusals: tuple[Refusal, ...]
    observed: ObservedHost
    next_pass_seconds: int = 0
    reloads: int = 0
    elapsed_milliseconds: int = 0


@dataclass(frozen=True)
class State:
    """Answer to Observe."""

    request: int
    observed: ObservedHost


@dataclass(frozen=True)
class Exchanged:
    """Answer to Exchange: the payloads received, base64, maybe none."""

    request: int
    payloads: tuple[str, ...]


@dataclass(frozen=True)
class Pong:
    """Answer to Ping."""

    request: int


@dataclass(frozen=True)
class Fault:
    """
    A request that was not carried out, or a line that was no request (then request is 0).

    reason: unchanged into condition and log, but for one that only a broken peer can cause.
    """

    request: int
    reason: Literal[Reason, Misspoken]
    message: str


# --- unasked ------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The first frame of an agent. digest: of its archive; empty when run from source."""

    protocol: int
    digest: str
    facts: Facts
    features: tuple[Feature, ...]
    observed: ObservedHost


@dataclass(frozen=True)
class UnitsChanged:
    """Units as they are now, after systemd signalled. Coalesced; a failure is never left out."""

    units: tuple[ObservedUnit, ...]


@dataclass(frozen=True)
class OperationChanged:
    """An operation began, moved on or ended."""

    operation: Operation


@dataclass(frozen=True)
class Sample:
    """Counters of every running unit of ours. uptime_milliseconds: boot clock when read."""

    uptime_milliseconds: int
    units: tuple[UnitSample, ...] = field(default=())


Request = Union[Converge, Observe, Exchange, Ping]
Answer = Union[Report, State, Exchanged, Pong, Fault]
Unasked = Union[Hello, UnitsChanged, OperationChanged, Sample]
Frame = Union[Request, Answer, Unasked]

FRAMES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        Converge,
        Observe,
        Exchange,
        Ping,
        Report,
        State,
        Exchanged,
        Pong,
        Fault,
        Hello,
        UnitsChanged,
        OperationChanged,
        Sample,
    )
}
REQUESTS = (Converge, Observe, Exchange, Ping)

# --- encoding -----------------------------------------------------------------

_DUMP = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False).encode

# An agent's picture of its files, and what the ledger has of them, are for its own planner: more
# than half of a host, and nobody else reads them.
_KEPT_HOME: dict[type, frozenset[str]] = {
    ObservedHost: frozenset({"files"}),
    LedgerEntry: frozenset({"files"}),
}
_FIELDS: dict[tuple[type, bool], tuple[tuple[str, object], ...]] = {}


def _fields_of(cls: type, whole: bool) -> tuple[tuple[str, object], ...]:
    """Names of the fields of *cls* to be told, with their defaults (MISSING for none)."""
    known = _FIELDS.get((cls, whole))
    if known is None:
        home = frozenset() if whole else _KEPT_HOME.get(cls, frozenset())
        known = tuple((f.name, f.default) for f in fields(cls) if f.name not in home)
        _FIELDS[cls, whole] = known
    return known


def to_plain(value: object, whole: bool = True) -> object:
    """
    Turn a dataclass, a tuple or a scalar into what JSON can say; defaults are left out.

    whole: with what is kept on the host, and not sent.
    """
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, tuple):
        return [to_plain(item, whole) for item in value]
    plain: dict[str, object] = {}
    for name, default in _fields_of(type(value), whole):
        item = getattr(value, name)
        if item != default:
            plain[name] = to_plain(item, whole)
    return plain


def encode(frame: Frame) -> bytes:
    """
    Turn *frame* into one line, newline included.

    Raises:
        WireError: the line would be longer than :data:`MAX_FRAME_BYTES`.
    """
    plain = to_plain(frame, whole=False)
    assert isinstance(plain, dict)
    line = _DUMP({"frame": type(frame).__name__, **plain}).encode("ascii") + b"\n"
    if len(line) > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {len(line)} bytes; at most {MAX_FRAME_BYTES} are allowed")
    return line


# --- decoding -----------------------------------------------------------------

_Reader = Callable[[object, str], object]
_READERS: dict[Any, _Reader] = {}


def _text(value: str, where: str) -> str:
    if "\x00" in value:
        raise WireError(f"{where}: a NUL character")
    if value.isascii():
        return value
    # A file's name that is no UTF-8 comes as half a surrogate pair, which nobody could pass on.
    return value.encode("utf-8", "replace").decode("utf-8")


def _scalar(kind: type) -> _Reader:
    def read(value: object, where: str) -> object:
        # bool is an int for Python and not for us.
        if type(value) is not kind:
            raise WireError(f"{where}: expected {kind.__name__}, got {type(value).__name__}")
        if isinstance(value, str):
            return _text(value, where)
        if isinstance(value, int) and not -MAX_NUMBER <= value < MAX_NUMBER:
            raise WireError(f"{where}: a number of more than 64 bits")
        return value

    return read


def _optional(inner: _Reader) -> _Reader:
    return lambda value, where: None if value is None else inner(value, where)


def _many(inner: _Reader) -> _Reader:
    def read(value: object, where: str) -> object:
        if type(value) is not list:
            raise WireError(f"{where}: expected a list, got {type(value).__name__}")
        return tuple(inner(item, f"{where}[{at}]") for at, item in enumerate(value))

    return read


def _fixed(inner: tuple[_Reader, ...]) -> _Reader:
    def read(value: object, where: str) -> object:
        if type(value) is not list or len(value) != len(inner):
            raise WireError(f"{where}: expected a list of {len(inner)}")
        return tuple(
            one(item, f"{where}[{at}]") for at, (one, item) in enumerate(zip(inner, value))
        )

    return read


def _record(cls: type[Any]) -> _Reader:
    hints = get_type_hints(cls)
    readers = {f.name: _reader(hints[f.name]) for f in fields(cls)}
    required = tuple(
        f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING
    )

    def read(value: object, where: str) -> object:
        if type(value) is not dict:
            raise WireError(f"{where}: expected an object, got {type(value).__name__}")
        for name in required:
            if name not in value:
                raise WireError(f"{where}.{name}: missing")
        # A field that we do not know comes from a newer peer, and is none of our business.
        return cls(
            **{
                name: readers[name](item, f"{where}.{name}")
                for name, item in value.items()
                if name in readers
            }
        )

    return read


def _reader(hint: Any) -> _Reader:
    """Build (once) the function that checks and builds values of type *hint*."""
    known = _READERS.get(hint)
    if known is not None:
        return known
    origin: Any = getattr(hint, "__origin__", None)
    args: Any = getattr(hint, "__args__", ())
    if is_dataclass(hint) and isinstance(hint, type):
        made = _record(hint)
    elif origin is Union:
        made = _optional(_reader(args[0]))
    elif origin is Literal:
        made = _scalar(str)  # a newer peer may have more words than our list
    elif origin is tuple and args[-1] is Ellipsis:
        made = _many(_reader(args[0]))
    elif origin is tuple:
        made = _fixed(tuple(_reader(arg) for arg in args))
    else:
        made = _scalar(hint)
    _READERS[hint] = made
    return made


def from_plain(cls: type[Any], value: object, where: str = "") -> Any:
    """
    Build a *cls* from what JSON said; the inverse of :func:`to_plain`.

    Raises:
        WireError: names the field that is wrong and what was expected.
    """
    return _reader(cls)(value, where or cls.__name__)


def decode(line: bytes) -> Frame:
    """
    Turn one line into a frame.

    Raises:
        WireError: no JSON, no known frame, or a field that is not what it should be. Where the
            line at least named a request, ``error.request`` is its number, else 0.
    """
    request = 0
    try:
        value = json.loads(line)
        if type(value) is not dict:
            raise WireError(f"expected an object, got {type(value).__name__}")
        number = value.get("request")
        request = number if type(number) is int else 0
        name = value.pop("frame", None)
        cls = FRAMES.get(name) if isinstance(name, str) else None
        if cls is None:
            raise UnknownFrame(f"frame {name!r} is not known to protocol 1"[:200])
        frame: Frame = from_plain(cls, value)
        return frame
    except WireError as error:
        error.request = request
        raise
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}"[:200]) from error


class FrameReader:
    """
    Cut a byte stream into lines, whatever pieces it comes in.

    A line over the limit is dropped up to its newline and reported once, so that the channel
    lives on and memory stays bounded.
    """

    def __init__(self, limit_bytes: int = MAX_FRAME_BYTES) -> None:
        """limit_bytes: longest line, newline included."""
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[Union[bytes, WireError]]:
        """Yield each line that *data* completes (newline cut off), or the error in its place."""
        start = 0
        while True:
            end = data.find(b"\n", start)
            if end < 0:
                self._keep(data[start:])
                return
            self._keep(data[start:end])
            line = self._take()
            start = end + 1
            if line is None:
                yield WireError(f"a line of more than {self._limit} bytes was dropped")
            elif line.strip():
                yield line

    @property
    def pending_bytes(self) -> int:
        """Bytes of a line that has not ended yet."""
        return self._size

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._dropping or self._size >= self._limit:
            self._dropping = True
            self._parts.clear()
        elif piece:
            self._parts.append(piece)

    def _take(self) -> Optional[bytes]:
        line = None if self._dropping else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._dropping = False
        return line
