"""Rows: the control plane, and the operator's rights there. Every machine is watched meanwhile."""

from __future__ import annotations

import json
import re
from functools import partial

from labkit.cluster import Cluster
from tests.e2e import scenes
from tests.e2e.faults import acts
from tests.e2e.faults.row import Act, Row
from tests.e2e.faults.rows_operator import anew
from tests.e2e.faults.stage import Stage
from tests.e2e.faults.walker import healthy_agents
from tests.e2e.front import Front
from tests.e2e.world import Object

BINDING = "warlock-operator"
CRD = "gameinstances.warlock.dev"
EXPIRED = 6


def _cluster(stage: Stage) -> Cluster:
    assert isinstance(stage.lab.cluster, Cluster)
    return stage.lab.cluster


def _stop_apiserver(stage: Stage) -> None:
    _cluster(stage).stop_apiserver()
    stage.until(lambda: not stage.operator.ready(), 30.0, "the operator has noticed")


def _stop_etcd(stage: Stage) -> None:
    _cluster(stage).stop_etcd()
    stage.until(lambda: not stage.operator.ready(), 30.0, "the operator has noticed")


def _behind_front(stage: Stage, front: Front) -> None:
    """Restart the operator so that it reaches the API server through *front*, then edit."""
    stage.notes["front"] = front
    stage.operator.stop()
    stage.start_operator(KUBECONFIG=str(front.kubeconfig(stage.operator.folder)))
    acts.EDIT.do(stage)


def _refuse_a_third(stage: Stage) -> None:
    _behind_front(stage, Front(stage.operator.kubeconfig).start().refuse_a_third())


def _expire_watches(stage: Stage) -> None:
    front = Front(stage.operator.kubeconfig).start()
    _mark_log(stage)
    _behind_front(stage, front)
    stage.until(lambda: acts.edit_arrived(stage) and stage.well(), 30.0, "served through it")
    front.expire(EXPIRED)


def _without_front(stage: Stage) -> None:
    stage.operator.stop()
    stage.notes["front"].stop()
    anew(stage)


def _all_refused(stage: Stage) -> bool:
    front: Front = stage.notes["front"]
    return front.refused > 10 and acts.edit_arrived(stage) and stage.unharmed()


def _mark_log(stage: Stage) -> None:
    stage.notes["log"] = stage.operator.log.stat().st_size


def _logged(stage: Stage) -> str:
    """What the operator has logged since the mark."""
    with stage.operator.log.open() as log:
        log.seek(stage.notes["log"])
        return log.read()


def _ended_and_back(stage: Stage) -> bool:
    """Whether kopf has given up, the process has said so, and another one serves."""
    told = '"message": "operator ends", "detail": "kopf: ' in _logged(stage)
    front: Front = stage.notes["front"]
    return told and front.expired == EXPIRED and stage.operator.ready()


def _upgrade(stage: Stage) -> None:
    """Add a field to the schema while the operator watches."""
    found = stage.kubectl.get("crd", CRD)
    stage.notes["crd"] = json.loads(json.dumps(found))
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["comment"] = {"type": "string"}
    _replace(stage, found)
    acts.EDIT.do(stage)


def _replace(stage: Stage, found: Object) -> None:
    found["metadata"].pop("resourceVersion")
    stage.kubectl("replace", "-f", "-", stdin=json.dumps(found))


def _downgrade(stage: Stage) -> None:
    _replace(stage, stage.notes["crd"])


def _take_rights(stage: Stage) -> None:
    found = stage.kubectl.get("clusterrolebinding", BINDING)
    found["metadata"] = {"name": BINDING, "labels": found["metadata"].get("labels", {})}
    stage.notes["binding"] = found
    _mark_log(stage)
    stage.kubectl("delete", "clusterrolebinding", BINDING)


def _take_rights_and_edit(stage: Stage) -> None:
    _take_rights(stage)
    acts.EDIT.do(stage)
    # What it watches goes on, unless a watch ends by itself just now; what it writes is refused,
    # and it may end by that.
    stage.until(partial(_felt, stage), 30.0, "the operator has felt it")


def _felt(stage: Stage) -> bool:
    return acts.edit_arrived(stage) or _watch_refused(stage) or not stage.operator.ready()


def _watch_refused(stage: Stage) -> bool:
    """Whether it was told since the mark that it may not list or watch instances."""
    refused = r"Request attempt #\d+/\d+ failed[^\n]*/gameinstances\?[^\n]*Forbidden"
    return bool(re.search(refused, _logged(stage)))


def _take_rights_and_cut(stage: Stage) -> None:
    """Have it open every watch anew, when it may not."""
    front = Front(stage.operator.kubeconfig).start()
    _behind_front(stage, front)
    stage.until(lambda: acts.edit_arrived(stage) and stage.well(), 30.0, "served through it")
    _take_rights(stage)
    stage.until(lambda: not _may_patch(stage), 30.0, "the rights are gone")
    front.cut()
    acts.EDIT.do(stage)
    stage.until(partial(_watch_refused, stage), 30.0, "a watch is refused")


def _give_rights(stage: Stage) -> None:
    stage.kubectl("create", "-f", "-", stdin=json.dumps(stage.notes["binding"]))
    stage.until(partial(_may_patch, stage), 30.0, "the rights count")


def _may_patch(stage: Stage) -> bool:
    asked = ("auth", "can-i", f"--as={scenes.ACCOUNT}", "patch", "gameinstances.warlock.dev", "-A")
    return stage.kubectl.attempt(*asked).returncode == 0


ROWS: tuple[Row, ...] = (
    Row(
        "API server restarted",
        made=Act("it ends", _stop_apiserver),
        cured=Act("it is started", lambda stage: _cluster(stage).start_apiserver()),
        healed=lambda stage: stage.operator.ready() and healthy_agents(stage),
        heals_seconds=30,
        after=anew,
    ),
    Row(
        "etcd restarted",
        made=Act("it ends", _stop_etcd),
        cured=Act("it is started", lambda stage: _cluster(stage).start_etcd()),
        healed=lambda stage: stage.operator.ready() and healthy_agents(stage),
        heals_seconds=30,
        after=anew,
    ),
    Row(
        "API server refuses a third of calls",
        made=Act("429 or 500 to a third of all calls; an edit", _refuse_a_third),
        unharmed=_all_refused,
        cured=Act("no more", lambda stage: stage.notes["front"].heal()),
        healed=lambda stage: stage.operator.ready(),
        heals_seconds=30,
        after=_without_front,
        starts=(1, 1),
        seen_seconds=90,
    ),
    Row(
        "watches expire (410)",
        made=Act(
            f"410 to the next {EXPIRED} lists and watches, what is open is cut", _expire_watches
        ),
        cured=acts.NOTHING,
        healed=_ended_and_back,
        heals_seconds=45,
        after=_without_front,
        starts=(1, 1),
    ),
    Row(
        "schema upgraded under a running operator",
        made=Act("the CRD of GameInstance has a field more; an edit", _upgrade),
        unharmed=lambda stage: acts.edit_arrived(stage) and stage.unharmed(),
        cured=Act("the CRD is what it was", _downgrade),
        heals_seconds=5,
        starts=(1, 1),
    ),
    Row(
        "rights taken and given back",
        made=Act("the ClusterRoleBinding is deleted; an edit", _take_rights_and_edit),
        cured=Act("it is there again", _give_rights),
        healed=acts.edit_arrived,
        heals_seconds=15,
        after=anew,
        starts=(1, 1),
    ),
    Row(
        "rights taken and every watch cut",
        made=Act(
            "the ClusterRoleBinding is deleted, what is open is cut; an edit", _take_rights_and_cut
        ),
        cured=Act("it is there again", _give_rights),
        healed=acts.edit_arrived,
        heals_seconds=15,
        after=_without_front,
        starts=(2, 2),
    ),
)
