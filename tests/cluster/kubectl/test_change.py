"""What people change with kubectl: apply both ways, diff, wait, edit, delete."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.kubectl.conftest import Tenant
from tests.e2e.world import Object, condition

FINALIZER = "warlock.dev/host"
OPERATOR = "warlock-operator"
_ids = (f"00000000-0000-4000-8000-{number:012}" for number in itertools.count())
ENV = [{"name": "MAP", "value": "oa_dm4"}]


@pytest.fixture
def arena(tenant: Tenant) -> Iterator[Object]:
    """The manifest of an instance of the test's own; it is gone after the test."""
    id_ = next(_ids)
    yield tenant.manifest(f"arena-{id_[-2:]}", instance_id=id_)
    tenant("delete", "gi", "--all", "--timeout=20s")


def name_of(manifest: Object) -> str:
    return str(manifest["metadata"]["name"])


def with_spec(manifest: Object, **spec: object) -> Object:
    return {**manifest, "spec": {**manifest["spec"], **spec}}


def owned(found: Object) -> dict[str, set[str]]:
    """Which parts of an object the operator's field manager has, by subresource."""
    return {
        each.get("subresource", ""): {part for part in each["fieldsV1"] if part != "f:metadata"}
        for each in found["metadata"]["managedFields"]
        if each["manager"] == OPERATOR
    }


# --- apply --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(), ("--server-side",)])
def test_applying_the_same_again_changes_nothing(
    tenant: Tenant, arena: Object, way: tuple[str, ...]
) -> None:
    tenant.apply(with_spec(arena, env=ENV), *way)
    tenant.wait_ready(name_of(arena))
    before = tenant.get(name_of(arena))["metadata"]["generation"]
    said = tenant.apply(with_spec(arena, env=ENV), *way)
    assert "serverside-applied" in said if way else "unchanged" in said
    assert tenant.get(name_of(arena))["metadata"]["generation"] == before == 1


def test_one_moves_between_the_two_ways_of_apply_and_back(tenant: Tenant, arena: Object) -> None:
    """Each time what is dropped from the manifest goes, and what the operator wrote stays."""
    name = name_of(arena)
    tenant.apply(with_spec(arena, env=ENV, instance_name="One"))
    tenant.wait_ready(name)
    tenant.apply(with_spec(arena, instance_name="Two"), "--server-side")
    spec = tenant.get(name)["spec"]
    assert (spec["instance_name"], spec.get("env")) == ("Two", None)
    tenant.apply(arena)
    assert "instance_name" not in tenant.get(name)["spec"]
    tenant.apply(with_spec(arena, env=ENV), "--server-side")
    tenant.wait_ready(name)
    found = tenant.get(name)
    assert found["spec"]["env"] == ENV
    assert found["metadata"]["finalizers"] == [FINALIZER]
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]


def test_no_field_of_a_spec_is_the_operators_so_none_is_fought_over(
    tenant: Tenant, arena: Object
) -> None:
    tenant.apply(with_spec(arena, env=ENV), "--server-side", "--field-manager=git")
    tenant.wait_ready(name_of(arena))
    for kind, name in (("gi", name_of(arena)), ("gh", tenant.host), ("game", tenant.namespace)):
        found = tenant.get(name, kind)
        parts = owned(found)
        assert parts.pop("status") == {"f:status"}
        assert not any(parts.values()), kind
    tenant.apply(with_spec(arena, state="Stopped"), "--server-side", "--field-manager=git")
    tenant("wait", "--for=jsonpath={.status.state}=Stopped", "--timeout=20s", "gi", "--all")


def test_a_second_manager_of_a_field_is_told_whose_it_is(tenant: Tenant, arena: Object) -> None:
    """Conflicts are between people, and in the status with the operator, which has all of it."""
    tenant.apply(with_spec(arena, env=ENV), "--server-side", "--field-manager=git")
    tenant.wait_ready(name_of(arena))
    other = json.dumps(with_spec(arena, env=[{"name": "MAP", "value": "kaos"}]))
    said = tenant.refused("apply", "--server-side", "--field-manager=ann", "-f", "-", stdin=other)
    assert 'conflict with "git"' in said
    assert '.spec.env[name="MAP"].value' in said
    status = json.dumps({**arena, "spec": None, "status": {"state": "Crashed"}})
    said = tenant.refused("apply", "--server-side", "--subresource=status", "-f", "-", stdin=status)
    assert f'conflict with "{OPERATOR}"' in said


def test_a_selector_is_emptied_by_either_apply(tenant: Tenant) -> None:
    """All of what may be empty: a schema that merges it key by key makes null of it."""
    for way in ((), ("--server-side",)):
        name = f"{tenant.host}-empty"
        made = tenant.get(tenant.host, "gh")
        manifest = {
            "apiVersion": made["apiVersion"],
            "kind": made["kind"],
            "metadata": {"name": name, "annotations": {"warlock.dev/paused": "true"}},
            "spec": {**made["spec"], "address": "198.18.1.78"},
        }
        some = {
            "matchLabels": {"tier": "pro"},
            "matchExpressions": [{"key": "a", "operator": "Exists"}],
        }
        tenant.apply(with_spec(manifest, namespaceSelector=some), *way)
        tenant.apply(with_spec(manifest, namespaceSelector={}), *way)
        assert tenant.get(name, "gh")["spec"]["namespaceSelector"] == {}
        tenant("delete", "gh", name, "--wait=false")
        tenant("annotate", "gh", name, "warlock.dev/paused-")
        tenant.wait_gone("gh", name)


# --- diff ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [(), ("--server-side",)])
def test_diff_is_empty_for_what_was_applied_and_served(
    tenant: Tenant, arena: Object, way: tuple[str, ...]
) -> None:
    tenant.apply(arena, *way)
    tenant.wait_ready(name_of(arena))
    argv = ("-n", tenant.namespace, "diff", *way, "-f", "-")
    same = tenant.kubectl.attempt(*argv, stdin=json.dumps(arena))
    assert (same.returncode, same.stdout) == (0, ""), same.stdout + same.stderr
    stopped = json.dumps(with_spec(arena, state="Stopped"))
    other = tenant.kubectl.attempt(*argv, stdin=stopped)
    changed = [line for line in other.stdout.splitlines() if line[:1] in "+-" and "  " in line]
    assert other.returncode == 1
    assert [line.split() for line in changed if "generation" not in line] == [
        ["-", "state:", "Running"],
        ["+", "state:", "Stopped"],
    ]


# --- wait ---------------------------------------------------------------------------------


def test_wait_for_a_condition_returns_for_the_newest_edit_and_not_before(
    tenant: Tenant, arena: Object
) -> None:
    name = name_of(arena)
    tenant.apply(arena)
    for number in range(3):
        tenant.apply(with_spec(arena, env=[{"name": "BOTS", "value": str(number)}]))
        tenant.wait_ready(name)
        found = tenant.get(name)
        assert condition(found, "Ready")["observedGeneration"] == found["metadata"]["generation"]
    tenant("wait", "--for=jsonpath={.status.players.online}=2", "--timeout=20s", f"gi/{name}")
    tenant.apply(with_spec(arena, ports=[{"name": "game", "port": 9}]))
    tenant("wait", "--for=condition=Stalled", "--timeout=20s", f"gi/{name}")
    tenant("wait", "--for=condition=Ready=False", "--timeout=20s", f"gi/{name}")


def test_wait_for_a_deletion_returns_when_the_machine_is_clean(
    tenant: Tenant, arena: Object
) -> None:
    name = name_of(arena)
    tenant.apply(arena)
    tenant.wait_ready(name)
    tenant("annotate", "gi", name, "warlock.dev/paused=true")
    tenant("delete", "gi", name, "--wait=false")
    said = tenant.refused("wait", "--for=delete", "--timeout=1s", f"gi/{name}")
    assert "timed out waiting" in said
    assert tenant.machine.state.ledger.instances
    tenant("annotate", "gi", name, "warlock.dev/paused-")
    tenant.wait_gone("gi", name)
    assert not tenant.machine.state.ledger.instances


# --- edit ---------------------------------------------------------------------------------


def edit(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, old: str, new: str
) -> tuple[str, str]:
    """
    ``kubectl edit`` by somebody who replaces *old* by *new* once, and then gives up.

    Returns:
        What stands above the file when the editor opens again, empty where it does not; and what
        kubectl said in the end.
    """
    again = folder / "again"
    editor = folder / "editor"
    editor.write_text(
        f'#!/bin/sh\nif [ -e {folder}/once ]; then grep "^#" "$1" > {again}; exit; fi\n'
        f"touch {folder}/once\nsed -i 's|{old}|{new}|' \"$1\"\n"
    )
    editor.chmod(0o755)
    monkeypatch.setenv("KUBE_EDITOR", str(editor))
    monkeypatch.setenv("TMPDIR", str(folder))
    done = tenant.kubectl.attempt("-n", tenant.namespace, "edit", "gi", name)
    return again.read_text() if again.exists() else "", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("  host: .*", "  host: elsewhere", "spec.host: Invalid value"),
        ("  host: .*", "  host: elsewhere", "delete the GameInstance and create another"),
        ("  state: Running", "  state: Halted", '"Running", "Stopped"'),
        ("  state: Running", "  ports: [{name: GAME}]", "such as game or rcon"),
        ("  state: Running", "  path: /etc/x", "use one such as /srv or /opt/games"),
    ],
)
def test_an_edit_that_is_refused_comes_back_with_what_to_do(
    tenant: Tenant, arena: Object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    old: str, new: str, says: str,
) -> None:  # fmt: skip
    tenant.apply(arena)
    above, said = edit(tenant, monkeypatch, tmp_path, name_of(arena), old, new)
    assert says in " ".join(above.replace("#", " ").split())
    assert "Edit cancelled, no valid changes were saved" in said
    assert tenant.get(name_of(arena))["spec"]["host"] == tenant.host


def test_an_edit_that_is_right_is_served(
    tenant: Tenant, arena: Object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tenant.apply(arena)
    tenant.wait_ready(name_of(arena))
    how = ("  state: Running", "  state: Stopped")
    above, said = edit(tenant, monkeypatch, tmp_path, name_of(arena), *how)
    assert (above, "edited" in said) == ("", True)
    tenant.wait_ready(name_of(arena))
    assert tenant.get(name_of(arena))["status"]["state"] == "Stopped"


# --- delete -------------------------------------------------------------------------------


@pytest.mark.parametrize("cascade", ["foreground", "orphan", "background"])
def test_a_deletion_of_any_cascade_cleans_the_machine_and_ends(
    tenant: Tenant, arena: Object, cascade: str
) -> None:
    tenant.apply(arena)
    tenant.wait_ready(name_of(arena))
    assert any(unit.main_pid for unit in tenant.machine.state.units)
    # The garbage collector looks for kinds that came or went twice a minute, and waits for that.
    tenant("delete", "gi", name_of(arena), f"--cascade={cascade}", "--timeout=60s")
    assert not tenant.machine.state.ledger.instances
    assert not any(unit.main_pid for unit in tenant.machine.state.units)


@pytest.mark.parametrize("cascade", ["foreground", "background"])
def test_a_gamehost_that_goes_under_live_instances_stays_served_and_says_why(
    tenant: Tenant, arena: Object, cascade: str
) -> None:
    """So it is however it goes: by hand, or pruned by a commit."""
    name, host = name_of(arena), f"{tenant.host}-{cascade}"
    manifest = tenant.get(tenant.host, "gh")
    spec = {**manifest["spec"], "address": "198.18.1.79"}
    tenant.apply({"apiVersion": manifest["apiVersion"], "kind": "GameHost",
                  "metadata": {"name": host}, "spec": spec})  # fmt: skip
    tenant.apply(with_spec(arena, host=host))
    tenant.wait_ready(name)
    tenant("delete", "gh", host, f"--cascade={cascade}", "--wait=false")
    tenant("wait", "--for=condition=Ready=False", "--timeout=20s", f"gh/{host}")
    message = condition(tenant.get(host, "gh"), "Ready")["message"]
    assert "waits until no GameInstance names it; 1 do" in message
    tenant.apply(with_spec(arena, host=host, state="Stopped"))
    tenant.wait_ready(name)
    assert tenant.get(name)["status"]["state"] == "Stopped"
    tenant("delete", "gi", name, "--timeout=20s")
    tenant.wait_gone("gh", host)


def test_a_whole_kustomization_goes_as_it_came(tenant: Tenant, tmp_path: Path) -> None:
    manifests = [tenant.manifest(f"k-{n}", instance_id=next(_ids)) for n in range(2)]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(manifests))
    (tmp_path / "kustomization.yaml").write_text("resources: [all.yaml]\n")
    tenant("apply", "-k", tmp_path)
    tenant.wait_ready("k-0", "k-1")
    tenant("delete", "-k", tmp_path, "--timeout=20s")
    assert not tenant.machine.state.ledger.instances
