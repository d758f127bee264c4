"""The agent is put on the host where it is missing, and only there."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from tests.transport.agents import OBEDIENT, odd_agent
from tests.transport.conftest import Host
from warlock_operator.errors import AgentFailed, HostReplaced
from warlock_operator.transport.zipapp import Archive

_MACHINE_ID = Path("/etc/machine-id")
THIS_MACHINE = _MACHINE_ID.read_text().strip() if _MACHINE_ID.exists() else "unknown"


async def test_a_missing_agent_is_pushed_and_one_that_is_there_is_not(host: Host) -> None:
    first = await host.opened()
    await first.close()
    second = await host.opened()

    assert first.counters.pushed_bytes == len(host.archive.data)
    assert second.counters.pushed_bytes == 0
    # The command line is not in the counters: what a second visit sends is frames alone.
    assert second.counters.bytes_sent < 200


async def test_a_pushed_agent_is_named_by_its_digest_and_only_its_owner_may_run_it(
    host: Host,
) -> None:
    await host.opened()

    (archive,) = host.agent_dir.iterdir()
    info = archive.stat()
    assert archive.name == f"{hashlib.sha256(archive.read_bytes()).hexdigest()}.pyz"
    assert stat.S_IMODE(info.st_mode) == 0o500
    assert info.st_uid == os.geteuid()
    assert stat.S_IMODE(host.agent_dir.stat().st_mode) == 0o700


async def test_an_archive_that_is_not_what_its_name_says_is_replaced(host: Host) -> None:
    await (await host.opened()).close()
    (archive,) = host.agent_dir.iterdir()
    archive.chmod(0o700)
    archive.write_bytes(archive.read_bytes() + b"\0")

    link = await host.opened()

    assert link.counters.pushed_bytes > 0
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == archive.stem


async def test_an_archive_that_others_can_write_is_replaced(host: Host) -> None:
    await (await host.opened()).close()
    (archive,) = host.agent_dir.iterdir()
    archive.chmod(0o777)

    link = await host.opened()

    assert link.counters.pushed_bytes > 0
    assert stat.S_IMODE(archive.stat().st_mode) == 0o500


async def test_a_link_in_place_of_the_archive_is_not_followed(host: Host, tmp_path: Path) -> None:
    await (await host.opened()).close()
    (archive,) = host.agent_dir.iterdir()
    archive.rename(tmp_path / "elsewhere")
    archive.symlink_to(tmp_path / "elsewhere")

    link = await host.opened()

    assert link.counters.pushed_bytes > 0
    assert not archive.is_symlink()


async def test_a_directory_that_others_can_write_is_refused(host: Host) -> None:
    host.agent_dir.mkdir(parents=True)
    host.agent_dir.chmod(0o777)
    with pytest.raises(AgentFailed, match="can be written by others"):
        await host.link().open()
    assert list(host.agent_dir.iterdir()) == []


async def test_bytes_that_are_not_what_was_announced_are_not_kept(host: Host) -> None:
    host.archive = Archive("0" * 64, host.archive.data)
    with pytest.raises(AgentFailed, match="came as sha256"):
        await host.link().open()
    assert list(host.agent_dir.iterdir()) == []


async def test_a_place_that_can_not_be_written_is_said(host: Host, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    with pytest.raises(AgentFailed, match=r"Not a directory|File exists"):
        await host.link().open()


async def test_three_archives_stay_the_longest_unused_goes(host: Host, tmp_path: Path) -> None:
    for number in range(5):
        host.archive = odd_agent(tmp_path / f"release-{number}", f"{OBEDIENT}\n# {number}")
        link = await host.opened()
        await link.close()
        for age, one in enumerate(sorted(host.agent_dir.iterdir(), key=lambda p: p.name)):
            if one.stem != host.archive.digest:
                os.utime(one, (1000 + age, 1000 + age))
    left = {one.stem for one in host.agent_dir.iterdir()}
    assert len(left) == 3
    assert host.archive.digest in left


async def test_to_another_machine_not_a_byte_is_written(host: Host) -> None:
    host.target = replace(host.target, machine_ids=("0" * 32, "1" * 32))
    with pytest.raises(HostReplaced, match=f"is {THIS_MACHINE}, not 0+ or 1+; .*accept-host"):
        await host.link().open()
    assert not host.agent_dir.parent.exists()


async def test_the_machine_that_was_accepted_is_served(host: Host) -> None:
    host.target = replace(host.target, machine_ids=("0" * 32, THIS_MACHINE))
    await host.opened()
    assert len(list(host.agent_dir.iterdir())) == 1
