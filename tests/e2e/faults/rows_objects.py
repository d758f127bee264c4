"""Rows: what people do to objects at the wrong moment."""

from __future__ import annotations

import uuid

from labkit import paths
from labkit.errors import LabError
from tests.e2e.conftest import make_namespace
from tests.e2e.faults import acts
from tests.e2e.faults.acts import EXTRA
from tests.e2e.faults.row import ARENA, Act, Row, Says
from tests.e2e.faults.stage import Stage
from tests.e2e.world import GUID, Namespace, wait_for

EDITS = 10


def _edit_often(stage: Stage) -> None:
    for _ in range(EDITS):
        acts.EDIT.do(stage)


def _recreate(stage: Stage) -> None:
    """Delete the arena and create it again as soon as the API lets us, as GitOps tools do."""
    spec = {"guid": GUID, "host": stage.name, "instance_id": stage.arena_id}
    again = stage.namespace.manifest(ARENA, spec)
    uid = stage.get(ARENA)["metadata"]["uid"]
    stage.namespace.delete(ARENA, wait_seconds=0)

    def created() -> bool:
        try:
            stage.kubectl.apply(again)
        except LabError:
            return False
        return bool(stage.get(ARENA).get("metadata", {}).get("uid") not in (None, uid))

    wait_for(created, 30.0, "it is created again")


def _doom(stage: Stage) -> None:
    """Delete a namespace with an instance that runs."""
    doomed = stage.notes["doomed"] = make_namespace(stage.kubectl)
    stage.notes["id"] = str(uuid.uuid4())
    doomed.instance(EXTRA, host=stage.name, instance_id=stage.notes["id"])
    doomed.wait_running(EXTRA)
    stage.kubectl("delete", "namespace", doomed.name, "--wait=false")


def _doomed_is_gone(stage: Stage) -> bool:
    doomed: Namespace = stage.notes["doomed"]
    named = stage.kubectl("get", "namespace", doomed.name, "--ignore-not-found", "-o", "name")
    return not named.strip() and stage.machine.main_pid(stage.notes["id"]) == 0


ROWS: tuple[Row, ...] = (
    Row(
        "edited while it is applied",
        made=Act(f"{EDITS} edits in a row", _edit_often),
        cured=acts.NOTHING,
        healed=acts.edit_arrived,
        heals_seconds=5,
        starts=(1, EDITS),
    ),
    Row(
        "recreated before the first is gone",
        made=Act("deleted, and created anew as soon as the API takes it", _recreate),
        cured=acts.NOTHING,
        heals_seconds=10,
        starts=(1, 1),
    ),
    Row(
        "namespace deleted",
        made=Act("with an instance in it that runs", _doom),
        cured=acts.NOTHING,
        healed=_doomed_is_gone,
        heals_seconds=20,
    ),
)

GAMES = paths.REPOSITORY / "manifests/games"


def _delete_game(stage: Stage) -> None:
    stage.kubectl("delete", "game", "openarena", "--wait=false")


def _restore_game(stage: Stage) -> None:
    stage.kubectl("apply", "-k", GAMES)


def _delete_host(stage: Stage) -> None:
    """Delete the spare machine's GameHost while an instance runs there."""
    other = Stage(
        stage.spare,
        stage.spare,
        stage.lab,
        stage.kubectl,
        stage.api,
        stage.operator,
        stage.namespace,
        stage.settings,
    )
    other.declare()
    stage.namespace.instance(EXTRA, host=stage.spare.name)
    stage.namespace.wait_running(EXTRA)
    stage.kubectl("delete", "gamehost", stage.spare.name, "--wait=false")


def _edit_extra(stage: Stage) -> bool:
    return stage.unharmed(EXTRA)


def _drop_extra(stage: Stage) -> None:
    stage.namespace.delete(EXTRA, wait_seconds=0)


ALONE: tuple[Row, ...] = (
    Row(
        "Game deleted in use",
        made=Act("kubectl delete game", _delete_game),
        says=(Says(ARENA, "Stalled", "True", "GameNotFound", (GUID,)),),
        cured=Act("it is applied again", _restore_game),
        heals_seconds=5,
    ),
    Row(
        "GameHost deleted in use",
        made=Act("kubectl delete gamehost, while an instance runs there", _delete_host),
        says=(
            Says("/fault-spare", "Ready", "False", "Deleting", ("until no GameInstance names it",)),
        ),
        unharmed=_edit_extra,
        cured=Act("that instance is deleted", _drop_extra),
        healed=lambda stage: not stage.get("/fault-spare"),
        heals_seconds=10,
    ),
)
