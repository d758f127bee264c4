"""What the scenarios look at beside objects and machines: audit log, journal, ledger, events."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from demokit import account
from demokit.kubectl import Kubectl
from labkit.cluster import Cluster
from labkit.lab import Lab
from tests.e2e.world import Machine, Namespace, Object, wait_for

LEDGER = "/var/lib/warlock/ledger"
ACCOUNT = f"system:serviceaccount:{account.NAMESPACE}:{account.NAME}"
_GROUPS = [
    "system:authenticated",
    "system:serviceaccounts",
    f"system:serviceaccounts:{account.NAMESPACE}",
]
_READS = ("get", "list", "watch")


def audit_position(lab: Lab) -> int:
    """Say where the audit log ends by now, in bytes."""
    assert isinstance(lab.cluster, Cluster)
    return lab.cluster.audit_log.stat().st_size


def requests_of_operator(lab: Lab, begin: int) -> list[Object]:
    """Give the audit log's entries of the operator's account from the position *begin* on."""
    assert isinstance(lab.cluster, Cluster)
    with lab.cluster.audit_log.open() as stream:
        stream.seek(begin)
        entries = [json.loads(line) for line in stream if line.endswith("\n")]
    return [each for each in entries if each["user"].get("username") == ACCOUNT]


def denied_to_operator(kubectl: Kubectl, entries: Iterable[Object]) -> list[str]:
    """
    Give the calls that RBAC has denied and the rights as they stand do not allow either.

    An API server that has only just started denies what it allows a moment later, and so does one
    whose grants a test had taken away for a while. (A 403 from a namespace that is terminating is
    no denial: RBAC had allowed that call.)
    """
    denied = {
        f"{each['verb']} {each['requestURI']}": _attributes(each)
        for each in entries
        if each.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    }
    return [call for call, attributes in denied.items() if not _allowed(kubectl, attributes)]


def _attributes(entry: Object) -> Object:
    """Say what a call asks for, as a SubjectAccessReview does."""
    ref = entry.get("objectRef", {})
    if "resource" not in ref:
        path = entry["requestURI"].partition("?")[0]
        return {"nonResourceAttributes": {"path": path, "verb": entry["verb"]}}
    named = {"group": "apiGroup", "version": "apiVersion"}
    same = ("resource", "subresource", "namespace", "name")
    found = {key: ref.get(named.get(key, key), "") for key in (*named, *same)}
    return {"resourceAttributes": {"verb": entry["verb"], **found}}


def _allowed(kubectl: Kubectl, attributes: Object) -> bool:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "groups": _GROUPS, **attributes},
    }
    said = kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
    return bool(json.loads(said)["status"]["allowed"])


@contextmanager
def writes_of_operator(lab: Lab) -> Iterator[list[str]]:
    """
    Fill a list with what the operator wrote meanwhile: verb and address; not its own Lease.

    What the apiserver did not take (another write had come between) has ``refused`` before it.
    """
    # An entry is written when its request is answered, which a watch may be quicker than.
    begin, began, found = audit_position(lab), _stamp(), list[str]()
    yield found
    _catch_up(lab)
    found += [
        f"{'refused ' if _refused(each) else ''}{each['verb']} {each['requestURI']}"
        for each in requests_of_operator(lab, begin)
        if each["requestReceivedTimestamp"] >= began
        and each["verb"] not in _READS
        and each.get("objectRef", {}).get("resource") not in ("leases", "selfsubjectreviews")
    ]


def _stamp() -> str:
    """Give the time as the audit log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _catch_up(lab: Lab) -> None:
    """Return when the audit log has a request that was made just now."""
    assert isinstance(lab.cluster, Cluster)
    begin, mark = audit_position(lab), uuid.uuid4().hex
    Kubectl(lab.cluster.kubectl, lab.kubeconfig)("get", "--raw", f"/version?mark={mark}")

    def written() -> bool:
        with lab.cluster.audit_log.open() as stream:
            stream.seek(begin)
            return mark in stream.read()

    wait_for(written, 10.0, "the audit log has caught up")


def _refused(entry: Object) -> bool:
    return bool(entry.get("responseStatus", {}).get("code", 0) >= 400)


def ledger_text(machine: Machine) -> str:
    """Give the whole ledger as it lies on the machine."""
    return machine.shell(f"cat {LEDGER}/* 2>/dev/null", check=False)


def ledger_names(machine: Machine) -> list[str]:
    """Give ``namespace/name`` of every instance that the machine's ledger has."""
    ledger = json.loads(machine.read(f"{LEDGER}/ledger.json"))["ledger"]
    return sorted(f"{each['namespace']}/{each['name']}" for each in ledger.get("instances", ()))


def until_passed(machine: Machine, instance_id: str, request: str) -> None:
    """Return when the ledger says that a pass has done what the reconcile annotation asks for."""
    wait_for(
        lambda: f'"{request}"' in ledger_text(machine),
        30.0,
        f"a pass over {instance_id} for {request}",
        lambda: ledger_text(machine),
    )


def own_files(machine: Machine, instance_id: str) -> dict[str, str]:
    """Give the managed files of one instance; not the template that others share."""
    marks = (f"@{instance_id}.", f".{instance_id}.env")
    return {
        path: facts for path, facts in machine.managed().items() if any(m in path for m in marks)
    }


def reloads(machine: Machine) -> int:
    """How often systemd has re-read its files, as its journal says."""
    said = machine.run(
        "journalctl", "-q", "-o", "cat", "_PID=1", "--grep", "^Reloading", check=False
    )
    return len(said.splitlines())


def starts(machine: Machine, unit: str) -> int:
    """How often systemd has started the unit, as its journal says."""
    said = machine.run(
        "journalctl", "-q", "-o", "cat", "_PID=1", "-u", unit, "--grep", "^Started", check=False
    )
    return len(said.splitlines())


def wait_event(namespace: Namespace, name: str, reason: str, seconds: float = 30.0) -> Object:
    """Give the newest Event of that reason about the instance."""

    def newest() -> Object:
        found = [event for event in namespace.events(name) if event["reason"] == reason]
        return found[-1] if found else {}

    return wait_for(newest, seconds, f"an Event {reason} about {name}")
