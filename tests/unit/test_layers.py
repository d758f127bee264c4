"""What import contracts can't say: the agent needs Python alone, and operator/ is no package."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

OPERATOR = Path(__file__).resolve().parents[2] / "operator"
AGENT = sorted((OPERATOR / "warlock_agent").glob("**/*.py"))


def imported(file: Path) -> set[str]:
    """Top-level names of what *file* imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return found


@pytest.mark.parametrize("file", AGENT, ids=lambda file: file.stem)
def test_the_agent_imports_the_standard_library_and_itself_alone(file: Path) -> None:
    assert imported(file) <= sys.stdlib_module_names | {"warlock_agent"}


def test_the_folder_operator_does_not_hide_the_module_of_that_name() -> None:
    # With an __init__.py, python3 -S in the repository's root would import ours and end.
    assert not (OPERATOR / "__init__.py").exists()
