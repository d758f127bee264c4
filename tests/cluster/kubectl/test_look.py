"""What people see with kubectl: explain, get in every shape, describe."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from demokit.kubectl import Kubectl
from tests.cluster.kubectl.conftest import Tenant
from tests.unit.api.objects import ROOT

KINDS = ("game", "gh", "gi")
PLURAL = {"game": "games", "gh": "gamehosts", "gi": "gameinstances"}
Schema = dict[str, Any]


# --- explain ------------------------------------------------------------------------------


def schema_of(kind: str) -> Schema:
    crd = yaml.safe_load((ROOT / f"crds/{PLURAL[kind]}.yaml").read_text())
    found: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def objects(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema that has fields, with the path by which kubectl names it."""
    schema = schema.get("items", schema)
    if schema.get("properties"):
        # What it says of these at the root is Kubernetes' own text.
        common = {"apiVersion", "kind", "metadata"} if "." not in path else set()
        fields = {k: v for k, v in schema["properties"].items() if k not in common}
        yield path, fields
        for name, child in fields.items():
            yield from objects(child, f"{path}.{name}")


ALL = [each for kind in KINDS for each in objects(schema_of(kind), kind)]


@pytest.fixture(scope="module")
def explained(admin_kubectl: Kubectl, installed: None) -> dict[str, list[str]]:
    """The lines of ``kubectl explain`` of all that has fields, by path."""

    def explain(path: str) -> list[str]:
        return admin_kubectl("explain", path).splitlines()

    paths = [path for path, _ in ALL]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(paths, pool.map(explain, paths), strict=True))


def fields_in(lines: list[str]) -> dict[str, str]:
    """What an explanation says of each field: its type, and what it is for."""
    found: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("FIELDS:") + 1 :]:
        if "\t<" in line:
            name, _, kind = line.strip().partition("\t")
            found[name] = kind
        else:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


@pytest.mark.parametrize(("path", "properties"), ALL, ids=[path for path, _ in ALL])
def test_explain_says_of_every_field_what_the_schema_says(
    explained: dict[str, list[str]], path: str, properties: Schema
) -> None:
    found = fields_in(explained[path])
    assert found.keys() - {"apiVersion", "kind", "metadata"} == properties.keys()
    for name, schema in properties.items():
        said = " ".join(found[name].split())
        assert "<no description>" not in said
        assert " ".join(schema.get("description", "").split()) in said, name


def test_explain_goes_down_to_a_leaf_by_short_names_and_at_once(
    admin_kubectl: Kubectl, installed: None
) -> None:
    said = " ".join(admin_kubectl("explain", "gi.spec.ports.port").split())
    assert "FIELD: port <integer>" in said
    assert "stays the same from then on" in said
    whole = admin_kubectl("explain", "gi", "--recursive").split()
    names = {name for path, below in ALL if path.startswith("gi") for name in below}
    assert names <= set(whole)


# --- get ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three(tenant: Tenant) -> list[str]:
    """Instances that are served: one with a label, one Stopped, one of a host that is none."""
    first, second, third = (
        tenant.manifest(name, instance_id=f"00000000-0000-4000-8000-00000000000{number}", **more)
        for number, (name, more) in enumerate(
            [("pro", {}), ("resting", {"state": "Stopped"}), ("lost", {"host": "nowhere"})]
        )
    )
    first["metadata"]["labels"] = {"tier": "pro"}
    for each in (first, second, third):
        tenant.apply(each)
    tenant.wait_ready("pro", "resting")
    tenant("wait", "--for=condition=Stalled", "--timeout=20s", "gi/lost")
    tenant("wait", "--for=jsonpath={.status.players.online}=2", "--timeout=20s", "gi/pro")
    tenant("wait", "--for=jsonpath={.status.metrics.cpuMillicores}", "--timeout=20s", "gi/pro")
    return ["pro", "resting", "lost"]


def table(text: str) -> dict[str, dict[str, str]]:
    """Cells by name and column, cut where the heads begin."""
    head, *lines = text.splitlines()
    names = head.split()
    begins = [
        *(head.index(f"{name} ") if name != names[-1] else head.rindex(name) for name in names)
    ]
    cells = [
        dict(
            zip(
                names,
                (line[a:b].strip() for a, b in zip(begins, [*begins[1:], None], strict=True)),
                strict=True,
            )
        )
        for line in lines
    ]
    return {each["NAME"]: each for each in cells}


def test_wide_shows_where_players_connect_and_what_it_uses(
    tenant: Tenant, three: list[str]
) -> None:
    found = table(tenant("get", "gi", "-o", "wide"))
    pro, lost = found["pro"], found["lost"]
    assert (pro["STATE"], pro["READY"], pro["REASON"]) == ("Running", "True", "AsDeclared")
    assert pro["HOST"] == tenant.host
    assert pro["ADDRESS"].startswith(f"{tenant.address}:")
    assert pro["PLAYERS"] == "2"
    assert pro["INSTANCE"].startswith("00000000-")
    assert pro["UNIT"].endswith(f"@{pro['INSTANCE']}.service")
    assert int(pro["CPU"]) > 0
    assert int(pro["MEMORY"]) > 1024**2
    assert (lost["READY"], lost["REASON"], lost["HOST"]) == ("False", "HostNotFound", "nowhere")
    assert "UNIT" not in tenant("get", "gi").split("\n")[0]


def test_labels_and_fields_select(tenant: Tenant, three: list[str]) -> None:
    def names(*arguments: str) -> set[str]:
        said = tenant("get", *arguments, "-o", "name").split()
        return {each.partition("/")[2] for each in said}

    assert names("gi", "-l", "tier=pro") == {"pro"}
    assert names("gi", "-l", "tier!=pro") == {"resting", "lost"}
    assert names("gi", "--field-selector", f"spec.host={tenant.host}") == {"pro", "resting"}
    assert names("gi", "--field-selector", "spec.host=nowhere") == {"lost"}
    assert names("gi", "--field-selector", f"spec.guid={tenant.guid}") == set(three)
    assert names("game", "--field-selector", f"spec.guid={tenant.guid}") == {tenant.namespace}
    said = tenant.refused("get", "gi", "--field-selector", "spec.state=Running")
    assert "field label not supported: spec.state" in said


@pytest.mark.parametrize(
    "asked",
    ["games.warlock.dev,gamehosts,gi", "game,gh,gi", "games.warlock.dev,gh,gameinstance", "games"],
)
def test_all_kinds_are_listed_by_names_short_names_and_the_category(
    tenant: Tenant, three: list[str], asked: str
) -> None:
    said = tenant.kubectl("get", asked, "-A", "-o", "name").split()
    assert {
        f"game.warlock.dev/{tenant.namespace}",
        f"gamehost.warlock.dev/{tenant.host}",
        *(f"gameinstance.warlock.dev/{name}" for name in three),
    } <= set(said)


# --- describe -----------------------------------------------------------------------------


def test_describe_tells_the_story_in_its_order(tenant: Tenant) -> None:
    """Events of several passes, each with its time; names of Events say nothing of their order."""
    manifest = tenant.manifest("saga", instance_id="00000000-0000-4000-8000-00000000000a")
    tenant.apply(manifest)
    tenant.wait_ready("saga")
    for state in ("Stopped", "Running"):
        tenant.apply({**manifest, "spec": {**manifest["spec"], "state": state}})
        tenant("wait", f"--for=jsonpath={{.status.state}}={state}", "--timeout=20s", "gi/saga")
        tenant.wait_ready("saga")
    bad = {**manifest["spec"], "ports": [{"name": "game", "port": 9}]}
    tenant.apply({**manifest, "spec": bad})
    tenant("wait", "--for=condition=Stalled", "--timeout=20s", "gi/saga")
    lines = until_told(tenant, "gi", "saga", "PortOutOfRange")
    reasons = [line.split()[1] for line in lines]
    # The second Started and Ready are counted where the first stand: a series is one Event.
    story = ["Installed", "Started", "Ready", "Stopped", "PortOutOfRange"]
    assert [each for each in reasons if each in story] == story, lines
    warnings = [line.split()[1] for line in lines if line.split()[0] == "Warning"]
    assert warnings == ["PortOutOfRange"], lines  # an edit is nobody's drift
    assert all("x2 over" in line for line in lines if line.split()[1] == "Started"), lines
    whole = tenant("describe", "gi", "saga")
    assert "Reason:                PortOutOfRange" in whole
    assert "docs/troubleshooting.md" in whole


def until_told(tenant: Tenant, kind: str, name: str, reason: str) -> list[str]:
    """The lines of the Events of ``kubectl describe``, once there is one of that reason."""
    object_ = f"involvedObject.name={name},reason={reason}"
    tenant("wait", "--for=create", "event", "--field-selector", object_, "--timeout=20s")
    described = tenant("describe", kind, name)
    return described.partition("Events:")[2].splitlines()[3:]
