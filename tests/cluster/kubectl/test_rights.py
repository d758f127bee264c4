"""
Who may do what: the roles that we ship, in a namespace, by Kubernetes' own names for them.

Whoever is bound to admin, edit or view of a namespace is so of its instances: the aggregation is
done by Kubernetes' own controller, which the lab runs.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from demokit.kubectl import Kubectl
from tests.cluster.kubectl.conftest import API
from tests.e2e.world import GUID, wait_for

ROLES = ("admin", "edit", "view")
READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete")

MAY = {
    "admin": {*READ, *WRITE, "deletecollection"},
    "edit": {*READ, *WRITE},
    "view": {*READ},
}


@pytest.fixture(scope="module")
def bound(admin_kubectl: Kubectl, installed: None) -> Iterator[str]:
    """A namespace in which the users admin, edit and view have the roles of these names."""
    name = f"rights-{uuid.uuid4().hex[:8]}"
    admin_kubectl("create", "namespace", name)
    for role in ROLES:
        binding = ("rolebinding", role, f"--clusterrole={role}", f"--user={role}", "-n", name)
        admin_kubectl("create", *binding)
    wait_for(
        lambda: can(admin_kubectl, "view", name, "get", "gameinstances.warlock.dev"),
        20.0,
        "our roles are aggregated into Kubernetes' own",
    )
    spec = {"guid": GUID, "host": "nowhere"}
    metadata = {"name": "arena", "namespace": name}
    admin_kubectl.apply(
        {"apiVersion": API, "kind": "GameInstance", "metadata": metadata, "spec": spec}
    )
    yield name
    admin_kubectl("delete", "namespace", name, "--wait=false")


def can(kubectl: Kubectl, user: str, namespace: str, verb: str, what: str, *more: str) -> bool:
    """The answer of ``kubectl auth can-i``."""
    done = kubectl.attempt("auth", "can-i", f"--as={user}", "-n", namespace, verb, what, *more)
    assert done.stdout.strip() in ("yes", "no"), done.stderr
    return done.stdout.strip() == "yes"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_with_instances_what_it_may_with_all_else(
    admin_kubectl: Kubectl, bound: str, role: str
) -> None:
    verbs = (*READ, *WRITE, "deletecollection")
    found = {v for v in verbs if can(admin_kubectl, role, bound, v, "gameinstances.warlock.dev")}
    assert found == MAY[role]


@pytest.mark.parametrize("role", ROLES)
def test_no_tenant_writes_a_status_nor_reaches_machines_or_keys(
    admin_kubectl: Kubectl, bound: str, role: str
) -> None:
    status = ("gameinstances.warlock.dev", "--subresource=status")
    assert can(admin_kubectl, role, bound, "get", *status)
    for verb in ("update", "patch"):
        assert not can(admin_kubectl, role, bound, verb, *status)
    for verb, what in (
        ("get", "gamehosts.warlock.dev"),
        ("create", "gamehosts.warlock.dev"),
        ("patch", "games.warlock.dev"),
        ("get", "games.warlock.dev"),
    ):
        assert not can(admin_kubectl, role, bound, verb, what)
    assert not can(admin_kubectl, role, "warlock-system", "get", "secrets")
    assert not can(admin_kubectl, role, "default", "get", "gameinstances.warlock.dev")


@pytest.mark.parametrize("role", ROLES)
def test_a_patch_of_a_status_is_forbidden_and_says_so(
    admin_kubectl: Kubectl, bound: str, role: str
) -> None:
    patch = json.dumps({"status": {"state": "Running"}})
    argv = ("patch", "gi", "arena", "--subresource=status", "--type=merge", "-p", patch)
    done = admin_kubectl.attempt(f"--as={role}", "-n", bound, *argv)
    assert done.returncode == 1
    assert f'User "{role}" cannot patch resource "gameinstances/status"' in done.stderr
    # On the object itself a status is dropped, whoever writes it.
    admin_kubectl("-n", bound, "patch", "gi", "arena", "--type=merge", "-p", patch)
    assert "state" not in admin_kubectl.get("gi", "arena", "-n", bound).get("status", {})


def test_an_editor_edits_and_a_viewer_is_told_why_not(admin_kubectl: Kubectl, bound: str) -> None:
    label = ("-n", bound, "label", "gi", "arena", "--overwrite")
    admin_kubectl("--as=edit", *label, "by=edit")
    refused = admin_kubectl.attempt("--as=view", *label, "by=view")
    assert 'User "view" cannot patch resource "gameinstances"' in refused.stderr
    assert admin_kubectl("--as=view", "-n", bound, "get", "gi", "-l", "by=edit", "-o", "name")
    whole = admin_kubectl.attempt(
        "--as=admin", "-n", bound, "delete", "gi", "--all", "--dry-run=server"
    )
    assert whole.returncode == 0, whole.stderr


def test_who_picks_a_game_reads_the_catalogue_by_a_role_of_its_own(
    admin_kubectl: Kubectl, bound: str
) -> None:
    binding = ("clusterrolebinding", bound, "--clusterrole=games-catalogue", "--user=edit")
    admin_kubectl("create", *binding)
    try:
        asked = ("edit", bound, "list", "games.warlock.dev")
        wait_for(lambda: can(admin_kubectl, *asked), 20.0, "the binding counts")
        assert not can(admin_kubectl, "edit", bound, "create", "games.warlock.dev")
        assert not can(admin_kubectl, "edit", bound, "list", "gamehosts.warlock.dev")
    finally:
        admin_kubectl("delete", "clusterrolebinding", bound)
