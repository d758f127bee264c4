"""The agent's archive: the same bytes for the same source, and all that the agent needs."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import warlock_agent
from tests.transport.pythons import supported
from warlock_operator.transport.zipapp import agent_archive, build

PACKAGE = Path(warlock_agent.__file__).parent


def test_the_same_source_gives_the_same_bytes_whenever_and_wherever(tmp_path: Path) -> None:
    first = build(PACKAGE)
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in sorted(PACKAGE.glob("*.py"), reverse=True):
        shutil.copy(path, copy / path.name)
        os.utime(copy / path.name, (1, 1))
        (copy / path.name).chmod(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "left.pyc").write_bytes(b"over")

    assert build(copy) == first
    assert first.digest == hashlib.sha256(first.data).hexdigest()


def test_other_source_gives_another_name(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "changed")
    with (tmp_path / "changed" / "names.py").open("a") as file:
        file.write("# changed\n")
    assert build(tmp_path / "changed").digest != build(PACKAGE).digest


def test_it_holds_the_source_of_the_agent_alone() -> None:
    with zipfile.ZipFile(io.BytesIO(agent_archive().data)) as archive:
        names = archive.namelist()
        assert names == sorted(names)  # not as the file system happens to list them
        assert all(one.compress_type == zipfile.ZIP_STORED for one in archive.infolist())
    assert set(names) == {
        "__main__.py",
        *(f"warlock_agent/{path.name}" for path in PACKAGE.glob("*.py")),
    }


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / f"{agent_archive().digest}.pyz"
    path.write_bytes(agent_archive().data)
    return path


@pytest.mark.parametrize("python", supported())
def test_it_runs_isolated_and_without_site_packages(archive: Path, python: str) -> None:
    done = subprocess.run(
        [python, "-I", "-S", str(archive), "version"],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert agent_archive().digest in done.stdout
