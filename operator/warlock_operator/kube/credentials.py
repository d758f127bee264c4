"""
Where the apiserver is and how to log in there: which source counts, and tokens that rotate.

    settings.kubeconfig, else $KUBECONFIG      a file
    else a pod's ServiceAccount                its token and CA, mounted
    else ~/.kube/config

Decides paths only; ``client`` loads them. Tokens are read again from their file, since a bound
ServiceAccount token is replaced long before it expires, and an expired one is a lasting 401.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

SERVICE_HOST = "KUBERNETES_SERVICE_HOST"  # set in every pod


@dataclass(frozen=True)
class Login:
    """
    What another client (kopf's) needs to reach the same apiserver as the same account.

    Attributes:
        token: without "Bearer"; empty where a client certificate logs in.
    """

    server: str
    ca_file: str | None
    insecure: bool
    token: str
    certificate_file: str | None
    key_file: str | None

    def __repr__(self) -> str:
        """Without the token."""
        return f"Login(server={self.server!r})"


def kubeconfig_path(setting: str, environ: Mapping[str, str]) -> str | None:
    """The kubeconfig that counts; None: the pod's ServiceAccount."""
    named = setting or environ.get("KUBECONFIG", "")
    if named:
        return str(Path(named).expanduser())
    if environ.get(SERVICE_HOST):
        return None
    return str(Path("~/.kube/config").expanduser())


def token_file(kubeconfig: str) -> Path | None:
    """The ``tokenFile`` of the current context's user, absolute; None where it has none."""
    path = Path(kubeconfig)
    document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    context = _named(document, "contexts", document.get("current-context")).get("context") or {}
    user = _named(document, "users", context.get("user")).get("user") or {}
    named = user.get("tokenFile")
    return path.parent / named if named else None


def _named(document: Mapping[str, object], section: str, name: object) -> dict[str, dict[str, str]]:
    entries = document.get(section)
    found = [e for e in entries if e.get("name") == name] if isinstance(entries, list) else []
    return found[0] if found else {}
