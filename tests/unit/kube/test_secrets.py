"""A key Secret is read strictly, and shows its key to nobody."""

from __future__ import annotations

import base64
from typing import Any

from warlock_operator.kube.secrets import key_secret


def secret(**data: str) -> dict[str, Any]:
    encoded = {k.replace("_", "-"): base64.b64encode(v.encode()) for k, v in data.items()}
    return {
        "metadata": {"name": "host-a-ssh", "uid": "u"},
        "type": "kubernetes.io/ssh-auth",
        "data": {key: value.decode() for key, value in encoded.items()},
    }


def test_key_and_passphrase_are_read_and_the_passphrase_may_end_in_a_newline() -> None:
    found = key_secret(secret(ssh_privatekey="KEY\n", passphrase="open\n"))
    assert found is not None
    assert (found.private_key, found.passphrase) == (b"KEY\n", "open")


def test_without_a_passphrase_there_is_none() -> None:
    for given in (secret(ssh_privatekey="KEY"), secret(ssh_privatekey="KEY", passphrase="")):
        found = key_secret(given)
        assert found is not None
        assert found.passphrase is None


def test_what_is_no_key_secret_counts_as_missing() -> None:
    broken = secret(ssh_privatekey="KEY")
    broken["data"]["ssh-privatekey"] = "%%% not base64"
    for given in (
        secret(ssh_privatekey=" \n"),
        secret(tls_key="KEY"),
        secret(ssh_privatekey="KEY") | {"type": "Opaque"},
        secret(ssh_privatekey="KEY") | {"data": None},
        broken,
    ):
        assert key_secret(given) is None


def test_its_repr_shows_neither_key_nor_passphrase() -> None:
    shown = repr(key_secret(secret(ssh_privatekey="SECRET-KEY", passphrase="SECRET-PHRASE")))
    assert "host-a-ssh" in shown
    assert "SECRET" not in shown
