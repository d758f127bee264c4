"""Which packages are installed, by dpkg's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warlock_agent.files import Tree
from warlock_agent.model import ObservedPackage
from warlock_agent.packages import Packages, parse_status, valid_package

_STATUS = """\
Package: openarena-server
Status: install ok installed
Priority: optional
Version: 0.8.8+dfsg-5+b1
Description: server
 Package: inside a description
 .
 Status: install ok installed

Package: held
Status: hold ok installed
Version: 1

Package: left-behind
Status: deinstall ok config-files
Version: 2

Package: half
Status: install ok half-configured
Version: 3

Package: postfix
Status: install ok installed
Provides: mail-transport-agent, default-mta (= 3.7), half:any, held
Version: 4
"""


def test_only_what_is_wholly_installed_counts() -> None:
    assert parse_status(_STATUS) == {
        "openarena-server": "0.8.8+dfsg-5+b1",
        "held": "1",
        "postfix": "4",
        "mail-transport-agent": "4",
        "default-mta": "4",
        "half": "4",
    }


def test_a_status_that_is_cut_off_is_read_up_to_there() -> None:
    whole = parse_status(_STATUS)
    names = {name[:n] for name in whole for n in range(len(name) + 1)}
    for length in range(len(_STATUS)):
        assert set(parse_status(_STATUS[:length])) <= names


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert "" not in parse_status(text)


def test_a_changed_file_is_seen_and_a_missing_one_is_no_debian(tmp_path: Path) -> None:
    packages = Packages(Tree(str(tmp_path)))
    assert packages.installed(["held"]) == ()
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text(_STATUS)
    assert packages.installed(["held", "half", "none"]) == (
        ObservedPackage("half", "4"),
        ObservedPackage("held", "1"),
    )
    status.write_text(_STATUS.replace("hold ok", "purge ok").replace("Version: 1", "Version: 10"))
    assert packages.installed(["held"]) == (ObservedPackage("held", "10"),)
    status.unlink()
    assert packages.installed(["held"]) == ()


@pytest.mark.parametrize("name", ["openarena-server", "g++", "libc6", "0ad", "a.b"])
def test_package_names(name: str) -> None:
    assert valid_package(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "-y",
        "--yes",
        "A",
        "a b",
        "a=1",
        "a/b",
        "./a.deb",
        "a:amd64",
        "a*",
        "a\n",
        "a" * 200,
    ],
)
def test_what_is_no_package_name(name: str) -> None:
    assert not valid_package(name)
