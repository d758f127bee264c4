"""Run a command to its end, with its words in the error where it fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from labkit.errors import LabError

_LIMIT_SECONDS = 120.0


def run(
    *argv: str | Path,
    limit_seconds: float = _LIMIT_SECONDS,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Return what *argv* printed; raises LabError with its last words where it fails."""
    done = attempt(*argv, limit_seconds=limit_seconds, env=env, stdin=stdin)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise LabError(f"{Path(str(argv[0])).name} failed ({done.returncode}): {' / '.join(said)}")
    return done.stdout


def attempt(
    *argv: str | Path,
    limit_seconds: float = _LIMIT_SECONDS,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run *argv* and return how it went; raises LabError only for a missing tool or the limit."""
    words = [str(word) for word in argv]
    try:
        return subprocess.run(
            words,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_seconds,
            env=dict(env) if env is not None else clean_environment(),
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{words[0]} did not end within {limit_seconds:.0f} s") from error


def clean_environment(**more: str) -> dict[str, str]:
    """Return our environment with the system's folders in PATH and an English, plain voice."""
    found = dict(os.environ)
    known = found.get("PATH", "").split(":")
    wanted = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    found["PATH"] = ":".join([p for p in known if p] + [p for p in wanted if p not in known])
    return {**found, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **more}
