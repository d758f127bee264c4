"""Rows: systemd away or anew, and units of somebody's own."""

from __future__ import annotations

import uuid

from tests.e2e.faults import acts
from tests.e2e.faults.acts import EXTRA, drop_extra, new_extra, refused
from tests.e2e.faults.row import ARENA, Act, Row, Says
from tests.e2e.faults.stage import Stage
from warlock_agent import names


def _shadow(stage: Stage) -> None:
    """A unit of somebody's own where the arena's instance of the template would be."""
    stage.notes["id"] = str(uuid.uuid4())
    unit = "[Service]\\nExecStart=/bin/sleep infinity\\n"
    path = names.shadow_path("warlock-openarena", stage.notes["id"])
    stage.shell(f"printf '{unit}' > {path}; systemctl daemon-reload")
    new_extra(stage, stage.notes["id"])


def _unshadow(stage: Stage) -> None:
    path = names.shadow_path("warlock-openarena", stage.notes["id"])
    stage.shell(f"rm {path}; systemctl daemon-reload")


def _bus(there: bool) -> str:
    verb = "mv /run/systemd/private.kept /run/systemd/private" if there else ""
    away = "systemctl stop dbus.socket dbus; mv /run/systemd/private /run/systemd/private.kept"
    return f"{verb}; systemctl start dbus.socket dbus" if there else away


def _kill_arena(stage: Stage) -> None:
    stage.notes["pid"] = stage.machine.main_pid(stage.arena_id)
    stage.shell(f"systemctl daemon-reexec; kill -9 {stage.notes['pid']}")


def _told(stage: Stage) -> bool:
    """Whether the status tells of the process that runs now."""
    services = stage.get(ARENA).get("status", {}).get("services", [])
    return bool(services) and services[0]["mainPID"] not in (0, stage.notes["pid"])


ROWS: tuple[Row, ...] = (
    Row(
        "D-Bus away",
        made=acts.then_cut("dbus is stopped, systemd's own socket is gone", _bus(False)),
        says=refused("SystemdUnreachable", "/run/systemd/private"),
        cured=acts.shell("both are back", _bus(True)),
        heals_seconds=6,
    ),
    Row(
        "systemd re-executed",
        made=Act("systemctl daemon-reexec, and SIGKILL to the arena's process", _kill_arena),
        cured=acts.NOTHING,
        healed=_told,
        heals_seconds=5,
        starts=(1, 1),
    ),
    Row(
        "a hand-made unit shadows ours",
        made=Act("a unit file of the new instance's name lies in /etc/systemd/system", _shadow),
        says=(Says(EXTRA, "Stalled", "True", "UnitNameTaken", ("remove",)),),
        cured=Act("it is removed", _unshadow),
        healed=lambda stage: stage.unharmed(EXTRA),
        heals_seconds=8,
        after=drop_extra,
    ),
)
