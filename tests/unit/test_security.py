"""docs/security.md names the tests that prove it; they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()


def named() -> list[tuple[str, str]]:
    """(file, test) in order; ``::test`` alone means the file named before it."""
    found: list[tuple[str, str]] = []
    file = ""
    for path, test in re.findall(r"(tests/[\w/]+\.py)?::(test_\w+)", TEXT):
        file = path or file
        found.append((file, test))
    return found


def defined_in(file: Path) -> set[str]:
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_is_named_is_there() -> None:
    claims = named()
    assert len(claims) > 40
    missing = [f"{file}::{test}" for file, test in claims if test not in defined_in(ROOT / file)]
    assert missing == []


def test_every_section_about_a_boundary_names_one() -> None:
    sections = re.findall(r"^## \d: .*?(?=^## |\Z)", TEXT, re.M | re.S)
    assert len(sections) == 5
    assert all("::test_" in section for section in sections)
