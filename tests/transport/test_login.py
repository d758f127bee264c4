"""The agent starts whatever the login is like: its shell, its noise, its sudo, its python3."""

from __future__ import annotations

import logging
import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.transport.conftest import Host
from warlock_operator.errors import AgentFailed, PythonMissing, PythonTooOld, SudoDenied

SHELLS = ("sh", "dash", "bash", "csh", "tcsh", "fish")

NOISY = """
echo "Welcome to Acme Hosting"
printf 'no newline at the end of this'
echo "warning: your password expires in 3 days" >&2
set -v
"""


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def programs(host: Host, tmp_path: Path) -> Path:
    """A directory that comes first in the host's PATH."""
    made = tmp_path / "bin"
    made.mkdir()
    host.sshd.path = f"{made}:{host.sshd.path}"
    return made


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_login_shell_reads_the_command_line_alike(host: Host, shell: str) -> None:
    where = shutil.which(shell)
    assert where is not None, f"{shell} is not on this machine: apt-get install {shell}"
    host.sshd.shell = (where, "-c")
    first = await host.opened()
    assert first.counters.pushed_bytes > 0
    await first.close()
    second = await host.opened()
    assert second.counters.pushed_bytes == 0
    assert (await second.observe()).machine_id == "stub"


async def test_what_bashrc_prints_is_skipped(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.sshd.shell = ("/bin/bash", "-c")
    (host.sshd.home / ".bashrc").write_text(NOISY)
    with caplog.at_level(logging.DEBUG, "warlock_operator"):
        link = await host.opened()
    assert (await link.observe()).machine_id == "stub"
    assert any("Acme Hosting" in str(vars(record)) for record in caplog.records)


async def test_noise_without_an_end_is_given_up(host: Host) -> None:
    host.sshd.shell = ("/bin/bash", "-c")
    (host.sshd.home / ".bashrc").write_text("yes")
    with pytest.raises(AgentFailed, match="more than 65536 bytes"):
        await host.link().open()


async def test_noise_just_under_the_limit_is_skipped(host: Host) -> None:
    host.sshd.shell = ("/bin/bash", "-c")
    (host.sshd.home / ".bashrc").write_text("head -c 65000 /dev/zero | tr '\\0' x")
    await host.opened()


async def test_a_shell_that_lets_nobody_in_is_quoted(host: Host, programs: Path) -> None:
    script(programs / "nologin", 'echo "This account is currently not available."; exit 1')
    host.sshd.shell = (str(programs / "nologin"), "-c")
    with pytest.raises(AgentFailed, match="not available"):
        await host.link().open()


@pytest.mark.parametrize("shell", SHELLS)
async def test_a_host_without_python_is_said_to_have_none(
    host: Host, tmp_path: Path, shell: str
) -> None:
    where = shutil.which(shell)
    assert where is not None, f"{shell} is not on this machine: apt-get install {shell}"
    host.sshd.shell = (where, "-c")
    host.sshd.path = str(tmp_path)
    with pytest.raises(PythonMissing):
        await host.link().open()


async def test_a_python_that_is_too_old_is_said_with_its_version(
    host: Host, programs: Path
) -> None:
    """The loader itself, in an interpreter that says that it is an old one."""
    python = shutil.which("python3")
    pretend = (
        "import sys; sys.version_info = (3, 8, 10); sys.version = '3.8.10 (default)'; "
        "source = sys.argv[1]; sys.argv = ['-c', *sys.argv[2:]]; exec(source)"
    )
    script(programs / "python3", f'shift 3\nexec {python} -c "{pretend}" "$@"\n')
    with pytest.raises(PythonTooOld, match=r"3\.8\.10.*3\.9"):
        await host.link().open()
    assert not host.agent_dir.exists()


async def test_the_agent_is_started_through_sudo(host: Host, programs: Path) -> None:
    script(programs / "sudo", f'echo "$1 $2" > {programs}/asked; shift; exec "$@"\n')
    host.retarget(become="Sudo")
    link = await host.opened()
    assert (await link.observe()).machine_id == "stub"
    assert (programs / "asked").read_text() == "-n python3\n"


@pytest.mark.parametrize(
    "says",
    [
        "sudo: a password is required",
        "sudo: sorry, you must have a tty to run sudo",
        "admin is not in the sudoers file. This incident has been reported. (sudo)",
        "sudo: Ein Passwort ist notwendig",
    ],
)
async def test_sudo_that_says_no_is_quoted_with_what_to_do(
    host: Host, programs: Path, says: str
) -> None:
    script(programs / "sudo", f'echo "{says}" >&2; exit 1\n')
    host.retarget(become="Sudo")
    with pytest.raises(SudoDenied) as caught:
        await host.link().open()
    assert says in caught.value.message
    assert "NOPASSWD" in caught.value.message


async def test_a_host_without_sudo_is_said_to_have_none(host: Host, tmp_path: Path) -> None:
    host.sshd.path = str(tmp_path)
    host.retarget(become="Sudo")
    with pytest.raises(SudoDenied, match="not found"):
        await host.link().open()


async def test_sudo_that_finds_no_python_is_not_a_denial(host: Host, programs: Path) -> None:
    script(programs / "sudo", 'echo "sudo: python3: command not found" >&2; exit 1\n')
    host.retarget(become="Sudo")
    with pytest.raises(PythonMissing):
        await host.link().open()


async def test_an_agent_that_never_says_hello_is_given_up(host: Host, tmp_path: Path) -> None:
    from tests.transport.agents import odd_agent

    host.archive = odd_agent(tmp_path / "mute", "for frame in frames():\n    pass")
    host.settings = replace(host.settings, agent_start_timeout_seconds=0.5)
    with pytest.raises(AgentFailed, match="hello"):
        await host.link().open()
    await host.sshd.wait_for_agents_to_end()


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ((), "aes256-gcm@openssh.com"),
        (("aes256-ctr", "aes128-gcm@openssh.com"), "aes128-gcm@openssh.com"),
        (("chacha20-poly1305@openssh.com",), "chacha20-poly1305@openssh.com"),
    ],
)
async def test_the_cipher_that_costs_least_is_taken_of_those_that_a_host_has(
    host: Host, offered: tuple[str, ...], taken: str
) -> None:
    await host.sshd.stop()
    host.sshd.ciphers = offered
    await host.sshd.start()
    link = await host.opened()
    (connection,) = host.sshd.connections
    ciphers = (connection.get_extra_info(name) for name in ("send_cipher", "recv_cipher"))
    assert {*ciphers} == {taken}
    await link.close()
