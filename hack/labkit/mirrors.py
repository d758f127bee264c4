"""
Where Debian's packages come from: what this machine's own apt uses.

``WARLOCK_LAB_MIRROR`` names another mirror, for a suite that the machine's does not carry
(any longer), or for a machine that is not Debian's.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request

from labkit.commands import attempt, run
from labkit.errors import CannotCarry

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Archives of older suites lose their security fixes file by file, so those do without.
_MAINTAINED = ("bookworm", "trixie")
_FORMAT = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"


def sources(suite: str) -> str:
    """
    Return a sources.list for *suite*: its main archive, updates and security fixes.

    Raises:
        CannotCarry: no mirror is known, or it does not carry the suite.
    """
    named = os.environ.get("WARLOCK_LAB_MIRROR")
    main, security = (named, None) if named else _machines_own()
    if not main:
        raise CannotCarry(
            "apt on this machine knows no Debian mirror: set WARLOCK_LAB_MIRROR to one's address"
        )
    if not _carries(main, suite):
        raise CannotCarry(
            f"the mirror {main} has no {suite}: set WARLOCK_LAB_MIRROR to one that has it"
        )
    wanted = [(main, suite), (main, f"{suite}-updates")]
    if security and suite in _MAINTAINED:
        wanted.append((security, f"{suite}-security"))
    # Old suites lose their updates before they go themselves.
    lines = [f"deb {uri} {name} main" for uri, name in wanted if _carries(uri, name)]
    return "\n".join(lines) + "\n"


def own_suite() -> str:
    """Return the code name of this machine's Debian, empty where it has none."""
    return attempt("sh", "-c", '. /etc/os-release; echo "${VERSION_CODENAME:-}"').stdout.strip()


def proxies() -> list[str]:
    """Return this machine's ``Acquire`` settings of proxies, as apt options."""
    dump = attempt("apt-config", "dump", "--format", "%f %v%n").stdout.splitlines()
    found = [line.split(maxsplit=1) for line in dump if "::Proxy" in line]
    return [f'{entry[0]} "{entry[1]}"' for entry in found if len(entry) == 2]


def _machines_own() -> tuple[str | None, str | None]:
    """Return the mirror and the security mirror that apt was configured with."""
    found: dict[str, str] = {}
    for refresh in (False, True):
        if refresh:
            attempt("apt-get", "-q", "update", limit_seconds=300.0)
        listed = run("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages")
        for line in listed.splitlines():
            origin, label, uri = line.split("|", 2)
            if origin == "Debian":
                found.setdefault(label, uri.rstrip("/"))
        if "Debian" in found:
            break
    return found.get("Debian"), found.get("Debian-Security")


def _carries(uri: str, suite: str) -> bool:
    """Whether the archive has *suite*; only asked where it can be asked without apt."""
    if not uri.startswith(("http://", "https://")):
        return not suite.endswith(("-updates", "-security"))
    try:
        request = urllib.request.Request(f"{uri}/dists/{suite}/InRelease", method="HEAD")
        with urllib.request.urlopen(request, timeout=20.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
