"""Rows: an install, with a package made on the machine whose script does what the row needs."""

from __future__ import annotations

import uuid

from tests.e2e.faults import acts
from tests.e2e.faults.acts import EXTRA, drop_extra
from tests.e2e.faults.row import Act, Row, Says
from tests.e2e.faults.stage import Stage
from tests.e2e.world import API, reason

REPOSITORY = "/srv/faults"
HANG, BREAK = f"{REPOSITORY}/hang", f"{REPOSITORY}/break"
"""The package's script waits while the one is there, and fails while the other is."""

_PACKAGE = """
set -e
mkdir -p {repository} /root/deb/DEBIAN; cd /root/deb
cat > DEBIAN/control <<'end'
Package: {name}
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.invalid>
Description: for the fault table
end
printf '#!/bin/sh\\nwhile [ -e {hang} ]; do sleep 0.2; done; [ ! -e {broken} ]\\n' > DEBIAN/postinst
chmod 755 DEBIAN/postinst
dpkg-deb --build --root-owner-group /root/deb {repository}/{name}.deb > /dev/null
cd {repository}; rm -r /root/deb
for each in *.deb; do
    dpkg-deb -f "$each"
    echo "Filename: ./$each"
    echo "Size: $(stat -c %s "$each")"
    echo "SHA256: $(sha256sum "$each" | cut -c1-64)"
    echo
done > Packages
echo 'deb [trusted=yes] file:{repository} ./' > /etc/apt/sources.list.d/faults.list
"""
_INSTALL = "$(systemctl list-units --plain --no-legend 'warlock-*install*' | cut -d' ' -f1)"
_LOCK = "/var/lib/dpkg/lock-frontend"
_HOLD = (
    "systemd-run --quiet --collect --unit=fault-apt python3 -c "
    f'\'import fcntl, time; file = open("{_LOCK}", "w"); fcntl.lockf(file, fcntl.LOCK_EX); '
    "time.sleep(900)'; until ! flock -n /root/none true; do break; done; sleep 0.3"
)


def _declare(stage: Stage) -> None:
    """Make a Game of a package of its own, and an instance of it."""
    name = f"fault-{uuid.uuid4().hex[:8]}"
    stage.notes["game"] = name
    stage.shell(_PACKAGE.format(repository=REPOSITORY, name=name, hang=HANG, broken=BREAK))
    spec = {
        "guid": str(uuid.uuid4()),
        "title": "Fault",
        "install": {"packages": {"apt": [name]}},
        "services": [{"name": f"warlock-{name}", "exec": ["/bin/sleep", "infinity"]}],
    }
    stage.kubectl.apply(
        {"apiVersion": API, "kind": "Game", "metadata": {"name": name}, "spec": spec}
    )
    stage.namespace.instance(EXTRA, host=stage.name, guid=spec["guid"])


def _installing(stage: Stage) -> None:
    """Return when the package's script runs, or waits to."""
    stage.until(lambda: reason(stage.get(EXTRA)) == "Installing", 30.0, "it installs")
    stage.until(lambda: stage.shell("pgrep -f '[.]postinst' || true"), 30.0, "the script runs")


def _runs(stage: Stage) -> bool:
    return stage.unharmed(EXTRA)


def _drop(stage: Stage) -> None:
    drop_extra(stage)
    stage.kubectl("delete", "game", stage.notes["game"], "--timeout=30s")


def _delete_now(stage: Stage) -> None:
    stage.namespace.delete(EXTRA, wait_seconds=0)


def _drop_game(stage: Stage) -> None:
    stage.kubectl("delete", "game", stage.notes["game"], "--timeout=30s")


def _row(name: str, text: str, before: str, *then: Act, says: Says, cured: Act) -> Row:
    acts_ = (acts.shell("", f"mkdir -p {REPOSITORY}; {before}"), Act("", _declare), *then)
    return Row(
        name,
        made=acts.in_turn(text, *acts_),
        says=(says,),
        cured=cured,
        healed=_runs,
        heals_seconds=30,
        after=_drop,
        seen_seconds=40,
    )


_FREE = acts.shell("it goes on when asked again", f"rm -f {HANG} {BREAK}")
_FAILED = ("Installed", "False", "InstallFailed")

ROWS: tuple[Row, ...] = (
    _row(
        "an install fails",
        "the package's script ends with 1",
        f"touch {BREAK}",
        says=Says(EXTRA, *_FAILED, ("apt-get install failed", "returned error")),
        cured=acts.shell("it ends with 0", f"rm {BREAK}"),
    ),
    _row(
        "an install hangs past its deadline",
        "the package's script does not end",
        f"touch {HANG}",
        says=Says(EXTRA, *_FAILED, ("too long",)),
        cured=acts.shell("it ends", f"rm {HANG}"),
    ),
    _row(
        "an install is killed",
        "SIGKILL to the whole unit while the package's script runs",
        f"touch {HANG}",
        Act("", _installing),
        acts.shell("", f"systemctl kill -s KILL {_INSTALL}"),
        says=Says(EXTRA, *_FAILED, ("ended without a result",)),
        cured=acts.shell("nothing is in the way", f"rm {HANG}"),
    ),
    _row(
        "apt's lock is held",
        "another process holds dpkg's lock",
        f"rm -f {HANG} {BREAK}; {_HOLD}",
        says=Says(EXTRA, "Ready", "False", "Installing", ("installing fault-",)),
        cured=acts.shell("it ends", "systemctl stop fault-apt"),
    ),
    Row(
        "deleted while it installs",
        made=acts.in_turn(
            "the package's script does not end; the instance is deleted meanwhile",
            acts.shell("", f"mkdir -p {REPOSITORY}; touch {HANG}"),
            Act("", _declare),
            Act("", _installing),
            Act("", _delete_now),
        ),
        unharmed=lambda stage: not stage.get(EXTRA),
        cured=acts.shell("the script ends", f"rm {HANG}"),
        heals_seconds=5,
        after=_drop_game,
    ),
)
