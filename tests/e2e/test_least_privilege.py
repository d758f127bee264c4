"""
What the operator may do and what it did: last of all suites, over the audit log of this one.

An unused grant is one that a thief of its token has for nothing; a denied call is a grant that is
missing, or something that the operator should not have tried.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from demokit import account
from demokit.operator import Operator
from labkit import paths
from labkit.lab import Lab
from tests.cluster.admission.conftest import Api
from tests.conftest import QUICK
from tests.e2e import scenes
from tests.e2e.world import SERVICE, Machine, Namespace, Object, is_true, ready, reason, wait_for
from tests.hostile import machine as hostile
from warlock_agent import names

Grant = tuple[str, str, str]
"""Group, resource with its subresource, verb."""

EVERYBODY_S: set[Grant] = {("authentication.k8s.io", "selfsubjectreviews", "create")}
MAX_EXPOSURE = 4.0


def grants() -> set[Grant]:
    """Give what manifests/operator grants to the operator's account."""
    found: set[Grant] = set()
    for name in ("clusterrole", "role"):
        text = (paths.REPOSITORY / f"manifests/operator/{name}.yaml").read_text()
        for manifest in yaml.safe_load_all(text):
            for rule in manifest.get("rules", ()):
                found |= set(_of_rule(rule))
    return found


def _of_rule(rule: dict[str, Any]) -> Iterator[Grant]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            yield from ((group, resource, verb) for verb in rule["verbs"])


def _grant_of(entry: Object) -> Grant:
    ref = entry["objectRef"]
    resource = "/".join(filter(None, (ref["resource"], ref.get("subresource", ""))))
    return ref.get("apiGroup", ""), resource, entry["verb"]


def test_what_is_granted_is_used_and_nothing_else_was_tried(
    lab: Lab, kubeconfig: Path, operator: Operator, namespace: Namespace, audit_begin: int
) -> None:
    _work(operator, namespace)
    _churn(lab, Api(kubeconfig), audit_begin)
    entries = scenes.requests_of_operator(lab, audit_begin)
    assert scenes.denied_to_operator(namespace.kubectl, entries) == []
    used = {_grant_of(each) for each in entries if "objectRef" in each}
    assert grants() - used == set(), "granted and never used"
    assert used - grants() - EVERYBODY_S == set(), "used, and granted by somebody else"


def test_a_denied_call_that_no_grant_allows_is_found(namespace: Namespace) -> None:
    def call(verb: str, resource: str) -> Object:
        return {
            "verb": verb,
            "requestURI": f"/apis/warlock.dev/v1alpha1/{resource}",
            "objectRef": {"resource": resource, "apiGroup": "warlock.dev"},
            "annotations": {"authorization.k8s.io/decision": "forbid"},
        }

    calls = [call("list", "gamehosts"), call("delete", "gamehosts"), call("get", "apis")]
    calls[2]["objectRef"] = {}
    assert scenes.denied_to_operator(namespace.kubectl, calls) == [
        "delete /apis/warlock.dev/v1alpha1/gamehosts"
    ]


def _work(operator: Operator, namespace: Namespace) -> None:
    """Do once whatever uses a grant, so that it holds as well when this test runs alone."""
    operator.stop()
    namespace.kubectl("-n", account.NAMESPACE, "delete", "lease", account.NAME)
    often = {"WARLOCK_EVENT_SERIES_SECONDS": "1", "WARLOCK_LIST_RESYNC_SECONDS": "0.2"}
    operator.start({**QUICK, **often})
    operator.wait_ready()
    namespace.instance("used", ports=[{"name": "game", "port": 28001}])
    namespace.wait_running("used")
    for _ in range(2):  # the second Event of a kind is the first one, patched
        for port, look in ((28000, _out_of_range), (28001, ready)):
            namespace.patch("used", {"spec": {"ports": [{"name": "game", "port": port}]}})
            namespace.wait("used", look, f"port {port} is judged")
    wait_for(partial(_series, namespace), 30.0, "an Event that was told twice")
    namespace.delete("used")


def _churn(lab: Lab, api: Api, begin: int) -> None:
    """Make and delete Games until one is in a list and not yet in the watch: it is asked for."""
    game = hostile.game("churned", str(uuid.uuid4()), ["/bin/true"], [])
    where = "/apis/warlock.dev/v1alpha1/games"

    def asked() -> bool:
        for _ in range(50):
            api.request("POST", where, game)
            api.request("DELETE", f"{where}/churned")
        entries = scenes.requests_of_operator(lab, begin)
        return ("warlock.dev", "games", "get") in {
            _grant_of(each) for each in entries if "objectRef" in each
        }

    wait_for(asked, 60.0, "a Game is asked for by name")


def _out_of_range(found: Object) -> bool:
    return is_true(found, "Stalled") and reason(found, "Stalled") == "PortOutOfRange"


def _series(namespace: Namespace) -> bool:
    counts = [(each.get("series") or {}).get("count", 0) for each in namespace.events("used")]
    return max(counts, default=0) >= 2


def test_the_unit_that_a_real_game_runs_in_is_closed(
    namespace: Namespace, machine: Machine
) -> None:
    namespace.instance("scored")
    namespace.wait_running("scored")
    found = namespace.wait(
        "scored", lambda found: "securityScore" in found["status"], "it is scored", 60.0
    )
    unit = names.unit_name(SERVICE, "default")
    said = machine.run("systemd-analyze", "security", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert exposure is not None, said
    assert found["status"]["securityScore"] == float(exposure.group(1))
    assert float(exposure.group(1)) <= MAX_EXPOSURE
    namespace.delete("scored")
