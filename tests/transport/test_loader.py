"""The fixed command line, and what comes back of it in whatever pieces."""

from __future__ import annotations

import ast
import errno
import itertools
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transport.pythons import too_old
from warlock_agent.__main__ import _parser
from warlock_operator.errors import (
    AgentFailed,
    DiskFull,
    OperatorError,
    PythonMissing,
    ReadOnlyFileSystem,
    SudoDenied,
)
from warlock_operator.settings import Settings
from warlock_operator.transport import loader
from warlock_operator.transport.loader import (
    Greeting,
    Said,
    command_line,
    not_started,
    refused,
)
from warlock_operator.transport.remote import agent_words

MARKER = "0123456789abcdef"
LIMIT = 1000


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


def test_no_shell_finds_anything_special_between_the_quotes() -> None:
    assert not set("'\\!\n\r\t\0") & set(loader.LOADER)
    line = command_line(MARKER, "0" * 64, "/var/lib/warlock/agent", ("--silence-seconds=30",))
    assert line.count("'") == 2
    assert all(32 <= ord(character) < 127 for character in line)
    before, _, after = line.split("'")
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._/:=-")
    assert set(before + after) <= plain


@pytest.mark.parametrize("word", ["$(reboot)", "a b", "", "a'b", "a;b", "a\nb", "~", "*", "é"])
def test_a_word_that_a_shell_could_read_otherwise_is_refused(word: str) -> None:
    with pytest.raises(AgentFailed):
        command_line(MARKER, "0" * 64, "/var/lib/warlock/agent", (word,))


def test_an_old_python_can_read_the_loader_up_to_its_check() -> None:
    """Python 3.4 is the oldest that knows -I."""
    source = ast.literal_eval(loader.LOADER[len("exec(") : loader.LOADER.index(".replace")])
    ast.parse(source.replace("|", "\n"), feature_version=(3, 4))


@pytest.mark.parametrize("python", too_old())
def test_a_real_old_python_says_its_version_and_touches_nothing(
    python: str, tmp_path: Path
) -> None:
    words = [MARKER, "0" * 64, str(tmp_path / "state" / "agent")]
    done = subprocess.run(
        [python, "-I", "-S", "-c", loader.LOADER, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith(f"warlock-{MARKER}:OLD 3.")
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_agent_understands_the_words_of_its_command_line() -> None:
    options = _parser().parse_args(["serve", *agent_words(Settings(sample_seconds=2.5))])
    assert options.silence_seconds == Settings().agent_silence_seconds
    assert options.sample_seconds == 2.5


@given(
    noise=st.binary(max_size=LIMIT),
    rest=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 5000), max_size=8),
    pushed=st.booleans(),
)
def test_the_loader_is_found_whatever_came_before_and_however_it_is_cut(
    noise: bytes, rest: bytes, cuts: list[int], pushed: bool
) -> None:
    need = f"warlock-{MARKER}:NEED\n".encode() if pushed else b""
    start = f"warlock-{MARKER}:START\n".encode()
    greeting = Greeting(MARKER, LIMIT)

    said: list[Said] = []
    late = b""
    for piece in pieces(noise + need + start + rest, cuts):
        if Said("START") in said:  # the agent's already: the caller hands it on
            late += piece
        else:
            said += greeting.feed(piece)

    assert said == [Said("NEED")] * pushed + [Said("START")]
    assert greeting.noise == noise
    assert greeting.rest + late == rest


@given(noise=st.binary(min_size=LIMIT + 1, max_size=3 * LIMIT), cuts=st.lists(st.integers(0, 5000)))
def test_too_much_noise_is_refused(noise: bytes, cuts: list[int]) -> None:
    greeting = Greeting(MARKER, LIMIT)

    def feed() -> None:
        for piece in pieces(noise, cuts):
            list(greeting.feed(piece))

    with pytest.raises(AgentFailed, match="start-up files"):
        feed()


def test_the_echoed_command_line_is_not_taken_for_the_loader() -> None:
    greeting = Greeting(MARKER, 1 << 16)
    echo = command_line(MARKER, "0" * 64, "/var/lib/warlock/agent").encode() + b"\n"
    assert list(greeting.feed(echo)) == []
    assert list(greeting.feed(f"warlock-{MARKER}:START\n".encode())) == [Said("START")]


def test_another_connections_marker_is_noise() -> None:
    greeting = Greeting(MARKER, LIMIT)
    assert list(greeting.feed(b"warlock-ffffffffffffffff:START\n")) == []


@pytest.mark.parametrize(
    ("status", "stderr", "sudo", "error"),
    [
        (127, "sh: 1: python3: not found", False, PythonMissing),
        (127, "bash: line 1: python3: command not found", False, PythonMissing),
        (1, "python3: Command not found.", False, PythonMissing),
        (127, "fish: Unknown command: python3", False, PythonMissing),
        (127, "fish: Unknown command 'python3'", False, PythonMissing),
        (127, "zsh:1: command not found: python3", False, PythonMissing),
        (1, "sudo: python3: command not found", True, PythonMissing),
        (127, "bash: line 1: sudo: command not found", True, SudoDenied),
        (1, "sudo: a password is required", True, SudoDenied),
        (1, "something else about sudo", False, AgentFailed),
        (1, "Traceback (most recent call last):", False, AgentFailed),
        (None, "", False, AgentFailed),
    ],
)
def test_what_the_shell_says_is_told_apart(
    status: int | None, stderr: str, sudo: bool, error: type[Exception]
) -> None:
    found = not_started(status, f"motd\n{stderr}\n", "", "warlock", sudo)
    assert type(found) is error


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, DiskFull),
        (errno.EDQUOT, DiskFull),
        (errno.EROFS, ReadOnlyFileSystem),
        (errno.EACCES, AgentFailed),
    ],
)
def test_a_disk_that_does_not_take_the_agent_is_told_as_such(
    number: int, kind: type[OperatorError]
) -> None:
    said = Said("FAILED", str(OSError(number, os.strerror(number), "/var/lib/warlock")))
    error = refused(said)
    assert type(error) is kind
    assert os.strerror(number) in str(error)
