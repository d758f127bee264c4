"""The control plane's keys: one authority, its certificates, the service accounts' RSA key."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from labkit.commands import run

_DAYS = "3650"


def authority(folder: Path) -> Path:
    """Make the certificate authority ``ca.{crt,key}`` unless it is there; return the first."""
    certificate = folder / "ca.crt"
    if not certificate.exists():
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:P-256", "-nodes", "-days", _DAYS, "-subj", "/CN=warlock-lab"),
            *("-keyout", folder / "ca.key", "-out", folder / "ca.new"),
        )
        (folder / "ca.new").replace(certificate)
    return certificate


def certificate(
    folder: Path, name: str, common_name: str, group: str = "", alternatives: Sequence[str] = ()
) -> None:
    """
    Make ``name.{crt,key}``, signed by the authority, unless it is there.

    Args:
        group: the certificate's O, which is a Kubernetes group.
        alternatives: such as ``IP:127.0.0.1``; makes it a server's certificate.
    """
    done = folder / f"{name}.crt"
    if done.exists():
        return
    subject = (f"/O={group}" if group else "") + f"/CN={common_name}"
    run(
        *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-subj", subject, "-keyout", folder / f"{name}.key"),
        *("-out", folder / f"{name}.csr"),
    )
    usage = "serverAuth" if alternatives else "clientAuth"
    lines = [f"extendedKeyUsage={usage}", "basicConstraints=CA:FALSE"]
    if alternatives:
        lines.append("subjectAltName=" + ",".join(alternatives))
    (folder / f"{name}.ext").write_text("\n".join(lines) + "\n")
    run(
        *("openssl", "x509", "-req", "-days", _DAYS, "-in", folder / f"{name}.csr"),
        *("-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial"),
        *("-extfile", folder / f"{name}.ext", "-out", folder / f"{name}.new"),
    )
    (folder / f"{name}.new").replace(done)


def service_account_key(folder: Path) -> Path:
    """Make the RSA key that signs service account tokens unless it is there; return it."""
    key = folder / "service-accounts.key"
    if not key.exists():
        run("openssl", "genrsa", "-out", folder / "service-accounts.new", "2048")
        (folder / "service-accounts.new").replace(key)
    return key


def kubeconfig(folder: Path, name: str, server: str, file: Path) -> None:
    """Write a kubeconfig (JSON is YAML) for the client certificate *name*."""
    encoded = {
        key: base64.b64encode((folder / part).read_bytes()).decode()
        for key, part in (("ca", "ca.crt"), ("crt", f"{name}.crt"), ("key", f"{name}.key"))
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        "clusters": [
            {
                "name": "lab",
                "cluster": {"server": server, "certificate-authority-data": encoded["ca"]},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": encoded["crt"],
                    "client-key-data": encoded["key"],
                },
            }
        ],
    }
    file.touch(0o600)
    file.write_text(json.dumps(content, indent=2) + "\n")
