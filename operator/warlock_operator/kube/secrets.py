"""
The SSH keys: Secrets of type ``kubernetes.io/ssh-auth`` in the operator's own namespace.

Watched there and nowhere else, since kopf would ask for the Secrets of the whole cluster. Keys
live in memory only; nothing here prints them, and ``KeySecret`` shows none in a log or traceback.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field

from warlock_operator.kube.reflector import Reflector
from warlock_operator.kube.refs import SECRET
from warlock_operator.kube.verbs import Json, Verbs

SSH_AUTH = "kubernetes.io/ssh-auth"
PRIVATE_KEY = "ssh-privatekey"  # the key that this type demands
PASSPHRASE = "passphrase"  # noqa: S105  (the name of a key in a Secret)


@dataclass(frozen=True)
class KeySecret:
    """
    One Secret's SSH key; equal when its content is.

    Attributes:
        private_key: as it is in the Secret: OpenSSH's format, PEM or PKCS#8.
        passphrase: None where the Secret has none.
    """

    name: str
    uid: str
    private_key: bytes = field(repr=False)
    passphrase: str | None = field(repr=False)


class KeySecrets:
    """Key Secrets by name."""

    def __init__(self, api: Verbs, changed: Callable[[str], None]) -> None:
        """
        Args:
            changed: called with a Secret's name when its key comes, goes or differs.
        """
        self._reflector = Reflector(
            api,
            SECRET,
            api.settings.namespace,
            key_secret,
            changed,
            selector=f"type={SSH_AUTH}",
        )
        self.synced = self._reflector.synced

    def get(self, name: str) -> KeySecret | None:
        """The key; None where there is no such Secret, of that type, with a readable key."""
        return self._reflector.values.get(name)

    async def run(self) -> None:
        """Keep the keys current until cancelled."""
        await self._reflector.run()


def key_secret(secret: Json) -> KeySecret | None:
    """What the Secret holds; None where its type or its data is not what a key Secret has."""
    if secret.get("type") != SSH_AUTH:
        return None
    data = secret.get("data") or {}
    try:
        private_key = base64.b64decode(data[PRIVATE_KEY], validate=True)
        passphrase = base64.b64decode(data.get(PASSPHRASE, ""), validate=True).decode("utf-8")
    except (KeyError, binascii.Error, UnicodeDecodeError):
        return None
    if not private_key.strip():
        return None
    return KeySecret(
        name=secret["metadata"]["name"],
        uid=secret["metadata"]["uid"],
        private_key=private_key,
        passphrase=passphrase.removesuffix("\n") or None,
    )
