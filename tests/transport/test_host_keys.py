"""A host proves its key before anything of ours goes there."""

from __future__ import annotations

from dataclasses import replace

import asyncssh
import pytest

from tests.transport.conftest import Host, line_of
from warlock_operator.errors import (
    AuthenticationFailed,
    HostKeyMismatch,
    HostUnreachable,
    InvalidObject,
    KeySecretMissing,
)

HostKeys = dict[str, asyncssh.SSHKey]


async def test_another_key_is_refused_and_no_credential_is_shown(
    host: Host, host_keys: HostKeys
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    host.retarget(host_keys=(line_of(other),))

    with pytest.raises(HostKeyMismatch) as caught:
        await host.link().open()

    assert host_keys["ssh-ed25519"].get_fingerprint() in caught.value.message
    assert other.get_fingerprint() in caught.value.message
    assert host.sshd.offered == []
    assert host.sshd.passwords == []
    assert host.sshd.commands == []


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
async def test_the_pinned_key_is_asked_for_whatever_its_type(
    host: Host, host_keys: HostKeys, kind: str
) -> None:
    host.retarget(host_keys=(line_of(host_keys[kind]),))
    link = await host.opened()
    assert link.host_keys == (line_of(host_keys[kind]),)


async def test_one_right_key_among_several_is_enough(host: Host, host_keys: HostKeys) -> None:
    stale = line_of(asyncssh.generate_private_key("ssh-ed25519"))
    host.retarget(host_keys=(stale, line_of(host_keys["ecdsa-sha2-nistp256"])))
    with pytest.raises(HostKeyMismatch):
        await host.link().open()  # it has an Ed25519 key, and it is not that one

    host.retarget(host_keys=(stale, line_of(host_keys["ssh-ed25519"])))
    await host.opened()


async def test_a_host_without_the_pinned_type_is_refused_with_the_key_that_it_has(
    host: Host, host_keys: HostKeys
) -> None:
    await host.sshd.stop()
    host.sshd.host_keys = [host_keys["ssh-rsa"]]
    await host.sshd.start()

    with pytest.raises(HostKeyMismatch, match="ssh-rsa SHA256:"):
        await host.link().open()
    assert host.sshd.offered == []


async def test_trust_on_first_use_says_what_it_saw_and_then_holds_to_it(
    host: Host, host_keys: HostKeys
) -> None:
    host.retarget(host_keys=(), trust_first_use=True)
    link = await host.opened()
    assert link.host_keys[0] in {line_of(key) for key in host_keys.values()}

    host.retarget(host_keys=link.host_keys)
    await host.opened()

    await host.sshd.stop()
    host.sshd.host_keys = [asyncssh.generate_private_key("ssh-ed25519")]
    await host.sshd.start()
    with pytest.raises(HostKeyMismatch, match="trusted on first use"):
        await host.link().open()


async def test_nothing_pinned_and_nothing_trusted_dials_nobody(host: Host) -> None:
    host.retarget(host_keys=())
    with pytest.raises(InvalidObject, match="ssh-keyscan"):
        await host.link().open()
    assert host.sshd.connections == []


async def test_only_the_given_key_is_offered(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those in the home directory of the account that the operator runs as."""
    ssh = host.sshd.home / ".ssh"
    ssh.mkdir()
    own = asyncssh.generate_private_key("ssh-ed25519")
    own.write_private_key(ssh / "id_ed25519")
    own.write_public_key(ssh / "id_ed25519.pub")
    (ssh / "config").write_text("User intruder\nPort 1\n")
    monkeypatch.setenv("HOME", str(host.sshd.home))

    await host.opened()
    assert set(host.sshd.offered) == {host.sshd.client_key.get_fingerprint()}


async def test_the_known_hosts_of_the_own_account_count_for_nothing(
    host: Host, host_keys: HostKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = host.sshd.home / ".ssh"
    ssh.mkdir()
    lines = "".join(f"[127.0.0.1]:{host.sshd.port} {line_of(key)}\n" for key in host_keys.values())
    (ssh / "known_hosts").write_text(lines)
    monkeypatch.setenv("HOME", str(host.sshd.home))
    host.retarget(host_keys=(line_of(asyncssh.generate_private_key("ssh-ed25519")),))

    with pytest.raises(HostKeyMismatch):
        await host.link().open()


async def test_a_key_that_the_host_does_not_know_is_an_authentication_failure(host: Host) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    host.retarget(private_key=other.export_private_key())
    with pytest.raises(AuthenticationFailed) as caught:
        await host.link().open()
    assert other.get_fingerprint() in caught.value.message
    assert host.sshd.passwords == []


async def test_a_user_that_the_host_does_not_know_is_an_authentication_failure(
    host: Host,
) -> None:
    host.retarget(user="nobody")
    with pytest.raises(AuthenticationFailed, match="nobody"):
        await host.link().open()


async def test_a_secret_without_a_key_is_said_without_its_content(host: Host) -> None:
    host.retarget(private_key=b"hunter2")
    with pytest.raises(KeySecretMissing) as caught:
        await host.link().open()
    assert "hunter2" not in caught.value.message


async def test_a_key_with_a_passphrase_opens_with_it_alone(host: Host) -> None:
    locked = host.sshd.client_key.export_private_key(passphrase="hunter2")
    host.retarget(private_key=locked, passphrase="hunter2")
    await host.opened()

    for passphrase in ("hunter3", None):
        host.retarget(passphrase=passphrase)
        with pytest.raises(KeySecretMissing) as caught:
            await host.link().open()
        assert "hunter" not in caught.value.message


async def test_a_target_does_not_show_its_key(host: Host) -> None:
    assert "PRIVATE KEY" not in repr(replace(host.target, passphrase="hunter2"))
    assert "hunter2" not in repr(replace(host.target, passphrase="hunter2"))


async def test_a_closed_port_is_an_unreachable_host(host: Host) -> None:
    await host.sshd.stop()
    with pytest.raises(HostUnreachable, match="refused"):
        await host.link().open()
