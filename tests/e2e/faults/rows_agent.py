"""Rows: the agent on the machine."""

from __future__ import annotations

from tests.e2e.faults import acts, steps
from tests.e2e.faults.acts import refused
from tests.e2e.faults.row import ARENA, HOST, Act, Row, Says
from tests.e2e.faults.rows_machine import PYTHON
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import healthy_agents
from warlock_agent import names

KILLS = 20
KILL_STEP_SECONDS = 0.015
"""The n-th kill comes so much later after an edit: a pass that restarts takes 0.2 s here."""

_GARBAGE = f"""
cp -a {PYTHON} /root/python3.kept; rm {PYTHON}
cat > {PYTHON} <<'end'
#!/bin/sh
printf 'warlock-%s:START\\n' "$5"; head -c 20000 /dev/urandom; printf '\\n{{"frame":\\n'; sleep 2
end
chmod 755 {PYTHON}
"""
_OLDER = """
cd /var/lib/warlock/agent; cp -a "$(ls -t *.pyz | head -n 1)" older.pyz
systemd-run --quiet --collect --unit=fault-older sh -c 'sleep 900 |
    python3 -I -S /var/lib/warlock/agent/older.pyz serve --silence-seconds=900 > /dev/null'
"""
_LOCKED = f"""
systemd-run --quiet --collect --unit=fault-lock python3 -c '
import fcntl, os, time
lock = os.open("{names.LEDGER_DIR}/lock", os.O_RDWR + os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.truncate(lock, 0)
os.pwrite(lock, b"%d" % os.getpid(), 0)
time.sleep(900)
'
until flock -n {names.LEDGER_DIR}/lock false; [ $? = 1 ] && ! flock -n {names.LEDGER_DIR}/lock true
do sleep 0.05; done
"""


def _kill_often(stage: Stage) -> None:
    for number in range(KILLS):
        acts.EDIT.do(stage)
        pause = number * KILL_STEP_SECONDS
        stage.shell(f"sleep {pause:.3f}; pgrep -f '[.]pyz serve' | xargs -r kill -9")
        stage.until(lambda: acts.edit_arrived(stage) and stage.unharmed(), 20.0, f"edit {number}")


def _older_beside(stage: Stage) -> bool:
    """Whether the edit has arrived although another agent is there."""
    return len(stage.agents()) == 2 and acts.edit_arrived(stage) and stage.unharmed()


ROWS: tuple[Row, ...] = (
    Row(
        "agent killed at each step",
        made=Act(
            f"SIGKILL after each of the {len(steps.MAKING)} things that a new instance gets, and "
            f"of the {len(steps.UNMAKING)} that its end takes away",
            steps.kill_at_each,
        ),
        cured=acts.NOTHING,
        healed=healthy_agents,
        heals_seconds=5,
    ),
    Row(
        "agent killed during edits",
        made=Act(f"{KILLS} edits; SIGKILL to the agent, 15 ms later each time", _kill_often),
        cured=acts.NOTHING,
        healed=healthy_agents,
        heals_seconds=5,
        starts=(KILLS, KILLS),
    ),
    Row(
        "agent sends garbage",
        made=acts.then_cut("in its place something writes 20 kB of random bytes", _GARBAGE),
        says=refused("AgentFailed", "can't be read"),
        cured=acts.shell("it is itself again", f"mv -f /root/python3.kept {PYTHON}"),
        heals_seconds=6,
    ),
    Row(
        "an agent of an older build still runs",
        made=acts.in_turn(
            "a second agent serves from another archive; an edit", acts.shell("", _OLDER), acts.EDIT
        ),
        unharmed=_older_beside,
        cured=acts.shell("it ends", "systemctl stop fault-older"),
        healed=healthy_agents,
        heals_seconds=3,
        after=lambda stage: acts.shell("", "rm /var/lib/warlock/agent/older.pyz").do(stage),
        starts=(1, 1),
    ),
    Row(
        "another process holds the host's lock",
        made=acts.in_turn(
            "flock on the ledger's lock; an edit", acts.shell("", _LOCKED), acts.EDIT
        ),
        says=(
            Says(HOST, "Ready", "False", "HostBusy", ("process ", "has been changing this")),
            Says(ARENA, "Ready", "False", "HostBusy", ("process ", "has been changing this")),
        ),
        cured=acts.shell("it ends", "systemctl stop fault-lock"),
        healed=acts.edit_arrived,
        heals_seconds=6,
        starts=(1, 1),
    ),
)
