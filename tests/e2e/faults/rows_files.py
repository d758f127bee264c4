"""Rows: disks that are full, read-only or out of inodes."""

from __future__ import annotations

import uuid

from tests.e2e.faults import acts
from tests.e2e.faults.acts import EXTRA, drop_extra, new_extra, refused
from tests.e2e.faults.row import ARENA, HOST, Act, Row, Says
from tests.e2e.faults.stage import Stage
from warlock_agent import names

BALLAST = ".fault-ballast"

# Whoever looks meanwhile sees all of the files: they are copied first, and shown at once.
_SMALL = """
set -e
for where in {folders}; do
    mkdir -p "$where" /root/fault-new
    mount -t tmpfs -o size={size},nr_inodes={inodes},mode=0755 fault /root/fault-new
    cp -a "$where/." /root/fault-new
    mount --bind /root/fault-new "$where"
    umount -l /root/fault-new
done
"""
_LARGE = """
set -e
for where in {folders}; do
    rm -rf "$where"/.fault-ballast*
    mkdir -p /root/fault-under; mount --bind / /root/fault-under
    find "/root/fault-under$where" -mindepth 1 -delete
    cp -a "$where/." "/root/fault-under$where"
    umount /root/fault-under; umount -l "$where"
done
"""


def _fill(folder: str) -> str:
    return f"dd if=/dev/zero of={folder}/{BALLAST} bs=1k 2>/dev/null || true"


def _full(
    name: str, folder: str, text: str, *, first: str = "true", more: Act, says: tuple[Says, ...]
) -> Row:
    """A row on a small file system of its own at *folder*, which is filled to the last byte."""
    small = _SMALL.format(folders=folder, size="2m", inodes=4096)
    return Row(
        name,
        made=acts.in_turn(text, acts.shell("", f"{small}{first}; {_fill(folder)}"), more),
        says=says,
        cured=acts.shell("the ballast is removed", f"rm {folder}/{BALLAST}"),
        healed=lambda stage: "edit" not in stage.notes or acts.edit_arrived(stage),
        heals_seconds=6,
        after=lambda stage: acts.shell("", _LARGE.format(folders=folder)).do(stage),
        starts=(1, 1) if more is acts.EDIT else (0, 0),
    )


def _says(reason: str, *hint: str) -> tuple[Says, ...]:
    return (Says(ARENA, "Ready", "False", reason, hint),)


_INODES = f"i=0; while touch {names.ENV_DIR}/{BALLAST}.$i; do i=$((i + 1)); done 2>/dev/null; true"


def _read_only(folder: str, *, says: tuple[Says, ...]) -> Row:
    return Row(
        f"{folder} read-only",
        made=acts.in_turn(
            f"{folder} is mounted read-only; an edit",
            acts.shell("", f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"),
            acts.EDIT,
        ),
        says=says,
        cured=acts.shell("it is writable", f"umount -l {folder}"),
        healed=acts.edit_arrived,
        heals_seconds=6,
        starts=(1, 1),
    )


def _drop_extra_and_enlarge(stage: Stage) -> None:
    drop_extra(stage)
    acts.shell("", _LARGE.format(folders=names.UNIT_DIR)).do(stage)


ROWS: tuple[Row, ...] = (
    _full(
        "disk full, at the agent's push",
        names.AGENT_DIR,
        "no byte is left there; the agent is removed and the sessions end",
        first=f"rm {names.AGENT_DIR}/*.pyz",
        more=acts.then_cut("", "true"),
        says=refused("DiskFull", "No space left on device"),
    ),
    _full(
        "disk full, at an environment file",
        names.ENV_DIR,
        "no byte is left there; an edit",
        more=acts.EDIT,
        says=_says("DiskFull", "No space left on device", ".env"),
    ),
    _full(
        "disk full, at the ledger",
        names.LEDGER_DIR,
        "no byte is left there; an edit",
        more=acts.EDIT,
        says=_says("DiskFull", "No space left on device", names.LEDGER_DIR),
    ),
    Row(
        "disk full, at a unit file",
        made=acts.in_turn(
            "no byte is left in /etc/systemd/system; a new instance",
            acts.shell("", _SMALL.format(folders=names.UNIT_DIR, size="2m", inodes=4096)),
            acts.shell("", _fill(names.UNIT_DIR)),
            Act("", lambda stage: new_extra(stage, str(uuid.uuid4()))),
        ),
        says=(Says(EXTRA, "Ready", "False", "DiskFull", ("No space left", names.UNIT_DIR)),),
        cured=acts.shell("the ballast is removed", f"rm {names.UNIT_DIR}/{BALLAST}"),
        healed=lambda stage: stage.unharmed(EXTRA),
        heals_seconds=6,
        after=_drop_extra_and_enlarge,
    ),
    Row(
        "no inode left",
        made=acts.in_turn(
            "the environment files' file system has no inode left; an edit",
            acts.shell("", _SMALL.format(folders=names.ENV_DIR, size="2m", inodes=64)),
            acts.shell("", _INODES),
            acts.EDIT,
        ),
        says=_says("DiskFull", "No space left on device"),
        cured=acts.shell("files are removed", f"rm {names.ENV_DIR}/{BALLAST}.*"),
        healed=acts.edit_arrived,
        heals_seconds=6,
        after=lambda stage: acts.shell("", _LARGE.format(folders=names.ENV_DIR)).do(stage),
        starts=(1, 1),
    ),
    _read_only("/etc", says=_says("ReadOnlyFileSystem", "Read-only file system")),
    _read_only(
        "/var",
        says=(
            Says(HOST, "Ready", "False", "ReadOnlyFileSystem", ("/var/lib/warlock",)),
            *_says("ReadOnlyFileSystem", "/var/lib/warlock"),
        ),
    ),
)
