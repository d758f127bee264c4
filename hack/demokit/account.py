"""The operator's account: a kubeconfig with a token of its ServiceAccount, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

from demokit.kubectl import Kubectl

NAMESPACE = "warlock-system"
NAME = "warlock-operator"
# A pod's token is renewed by its kubelet. Here nobody does that, and a demo may run for months.
TOKEN_DURATION = "8760h"


def write_kubeconfig(admin: Kubectl, file: Path) -> Path:
    """Ask for a token and write it, with the cluster of *admin*, into *file* (mode 0600)."""
    asked = (NAME, f"--namespace={NAMESPACE}", f"--duration={TOKEN_DURATION}")
    token = admin("create", "token", *asked).strip()
    clusters = json.loads(admin("config", "view", "--raw", "--minify", "-o", "json"))["clusters"]
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "contexts": [{"name": NAME, "context": {"cluster": clusters[0]["name"], "user": NAME}}],
        "clusters": clusters,
        "users": [{"name": NAME, "user": {"token": token}}],
    }
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        json.dump(content, stream)
    return fresh.replace(file)
