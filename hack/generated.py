"""The files that are generated, and what stands in them. Called by hack/generate and a test."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import customizations
from warlock_operator.api.crd import to_yaml
from warlock_operator.api.names import PLURALS, Kind
from warlock_operator.api.reference import reference

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """Text by path, relative to the repository."""
    crds = {f"crds/{PLURALS[kind]}.yaml": to_yaml(kind) for kind in Kind}
    argo_cd = {customizations.CONFIG_MAP: customizations.config_map(ROOT)}
    return {**crds, **argo_cd, "docs/api.md": reference()}


def drift(root: Path = ROOT) -> Iterator[str]:
    """Lines of a diff from what is there to what should be; none where all is right."""
    for path, text in generated().items():
        file = root / path
        there = file.read_text() if file.exists() else ""
        yield from difflib.unified_diff(
            there.splitlines(keepends=True), text.splitlines(keepends=True), path, f"{path} (new)"
        )


def main() -> int:
    """Write, or compare; 1 where a comparison found a difference."""
    parser = argparse.ArgumentParser(description="Write what is generated.")
    parser.add_argument("--check", action="store_true", help="write nothing; show what differs")
    if parser.parse_args().check:
        lines = list(drift())
        sys.stdout.writelines(lines)
        return bool(lines)
    for path, text in generated().items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
