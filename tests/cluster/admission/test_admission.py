"""What the apiserver accepts and refuses, and what it says when it refuses."""

from __future__ import annotations

import pytest

from tests.cluster.admission.conftest import Api
from tests.unit.api.objects import Manifest, changed, sample, samples
from tests.unit.api.refused import REFUSED, Refused


@pytest.mark.parametrize("manifest", samples(), ids=lambda one: one["metadata"]["name"])
def test_samples_are_accepted(api: Api, manifest: Manifest) -> None:
    answer = api.create(manifest)
    assert answer.accepted or "already exists" in answer.message, answer.message


@pytest.mark.parametrize("row", REFUSED, ids=str)
def test_a_bad_manifest_is_refused_and_told_what_to_write(api: Api, row: Refused) -> None:
    answer = api.create(row.manifest)
    assert not answer.accepted
    assert row.says in answer.message


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("GameInstance", "spec.host", "198.18.1.1"),
        ("GameInstance", "spec.host", "2001:db8::1"),
        ("GameInstance", "spec.host", "games1.example.org"),
        ("GameInstance", "spec.instance_id", "default"),
        ("GameInstance", "spec.instance_name", "Königs \U0001f3ae Arena; $HOME `x` %n 'q' \"q\""),
        ("GameInstance", "spec.path", "/srv/..data/.x/a_b-c.d"),
        ("GameInstance", "spec.path", None),
        ("GameInstance", "spec.env.0.value", ""),
        ("GameInstance", "spec.env.0.value", "$(reboot) `reboot` ; %% \\ ' \" | & é 中"),
        (
            "GameInstance",
            "spec.ports",
            [{"name": "game", "port": 27960}, {"name": "query", "port": 27960}],
        ),
        ("GameInstance", "spec.ports", [{"name": f"p{number}"} for number in range(16)]),
        ("GameHost", "spec.address", "host-1.example.org"),
        ("GameHost", "spec.namespaceSelector", {}),
        ("GameHost", "spec.ssh.become", "Sudo"),
        ("Game", "spec.install", {"none": {}}),
        ("Game", "spec.services.0.exec.1", "100% -x=${SERVER_NAME}:${PORT_GAME} 'a b'"),
        ("Game", "spec.query", {"protocol": "None"}),
        ("Game", "metadata.name", "g" * 63),
    ],
)
def test_what_is_unusual_but_right_is_accepted(
    api: Api, kind: str, path: str, value: object
) -> None:
    manifest = changed(changed(sample(kind), path, value), "metadata.labels", {"test": "yes"})
    if path != "metadata.name":
        manifest["metadata"]["name"] = "unusual"
    answer = api.create(manifest)
    assert answer.accepted, answer.message


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("GameInstance", "spec.pathh"),
        ("GameInstance", "spec.instanceId"),
        ("GameInstance", "spec.ports.0.number"),
        ("GameInstance", "spec.env.0.valueFrom"),
        ("GameHost", "spec.ssh.password"),
        ("GameHost", "spec.ssh.keySecret.namespace"),
        ("GameHost", "spec.ports.ranges.0.step"),
        ("Game", "spec.install.script"),
        ("Game", "spec.services.0.environment"),
        ("Game", "spec.variables.0.required"),
        ("Game", "specs"),
    ],
)
def test_an_unknown_field_is_named(api: Api, kind: str, path: str) -> None:
    answer = api.create(changed(sample(kind), path, "x"))
    assert answer.code == 400
    assert "unknown field" in answer.message
    assert path.split(".")[-1] in answer.message


def test_several_faults_are_told_at_once(api: Api) -> None:
    manifest = changed(sample("GameInstance"), "spec.path", "opt")
    answer = api.create(changed(manifest, "spec.host", "a b"))
    assert "spec.path" in answer.message
    assert "spec.host" in answer.message
