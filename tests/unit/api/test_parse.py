"""From the apiserver's object to a model: what is read, what is refused, and in which words."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.api.objects import ABSENT, Manifest, changed, sample, samples
from tests.unit.api.refused import REFUSED, Refused
from warlock_operator.api.names import Annotation, InstanceState, Kind
from warlock_operator.api.v1alpha1 import Game, GameHost, GameInstance, parse
from warlock_operator.errors import InvalidObject


@pytest.mark.parametrize("manifest", samples(), ids=lambda one: one["metadata"]["name"])
def test_samples_parse_and_come_out_as_they_went_in(manifest: Manifest) -> None:
    made = parse(manifest["kind"], manifest)
    out = made.spec.to_json()
    for field, value in manifest["spec"].items():
        assert _without_defaults(out[field], value) == value


def _without_defaults(out: Any, said: Any) -> Any:
    """What is left of *out* when only fields that *said* has are looked at."""
    if isinstance(said, dict):
        return {key: _without_defaults(out[key], value) for key, value in said.items()}
    if isinstance(said, list):
        assert len(out) == len(said)
        return [_without_defaults(*pair) for pair in zip(out, said, strict=True)]
    return out


@pytest.mark.parametrize("row", REFUSED, ids=str)
def test_what_the_apiserver_refuses_is_refused_here_too(row: Refused) -> None:
    with pytest.raises(InvalidObject) as refusal:
        parse(row.kind, row.manifest)
    assert row.path.split(".")[-1 if row.path.count(".") < 2 else 1] in str(refusal.value)


def test_a_message_names_field_value_and_what_would_be_right() -> None:
    bad = changed(sample("GameInstance"), "spec.path", "/opt/../etc")
    with pytest.raises(InvalidObject) as refusal:
        parse("GameInstance", changed(bad, "spec.ports.0.port", "27960"))
    message = str(refusal.value)
    assert 'spec.path: "/opt/../etc": must be an absolute path such as' in message
    assert 'spec.ports[0].port: "27960": ' in message


def test_a_message_is_bounded_whatever_is_wrong() -> None:
    env = [{"name": "A" * 1000, "value": "\n" * 100_000, "more": 1}] * 64
    with pytest.raises(InvalidObject) as refusal:
        parse("GameInstance", changed(sample("GameInstance"), "spec.env", env))
    assert len(str(refusal.value)) < 4096
    assert "more" in str(refusal.value)


def test_an_unknown_field_of_the_spec_is_named() -> None:
    with pytest.raises(InvalidObject, match=r"spec\.pathh: there is no such field"):
        parse("GameInstance", changed(sample("GameInstance"), "spec.pathh", "/opt/x"))


@pytest.mark.parametrize("path", ["spec.instanceId", "spec.keySecret", "spec.instanceName"])
def test_python_names_are_no_json_names(path: str) -> None:
    with pytest.raises(InvalidObject, match="no such field"):
        parse("GameInstance", changed(sample("GameInstance"), path, "x"))
    with pytest.raises(InvalidObject, match="no such field"):
        parse("GameHost", changed(sample("GameHost"), "spec.path_roots", ["/srv"]))


@pytest.mark.parametrize("spec", [ABSENT, None, [], "x", 7])
def test_a_spec_that_is_none_is_refused(spec: object) -> None:
    with pytest.raises(InvalidObject):
        parse("GameInstance", changed(sample("GameInstance"), "spec", spec))


def test_null_is_absent() -> None:
    manifest = changed(sample("GameInstance"), "spec.path", None)
    made = parse("GameInstance", changed(manifest, "spec.env", None))
    assert isinstance(made, GameInstance)
    assert made.spec.path is None
    assert made.spec.env == ()


def test_read_only_views_are_read() -> None:
    manifest = sample("GameInstance")
    view = MappingProxyType({**manifest, "spec": MappingProxyType(manifest["spec"])})
    assert parse(Kind.GAME_INSTANCE, view) == parse(Kind.GAME_INSTANCE, manifest)


def test_metadata_is_read_and_its_other_fields_are_skipped() -> None:
    metadata = {
        "name": "arena",
        "namespace": "games",
        "uid": "u",
        "generation": 3,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "deletionTimestamp": "2026-01-03T03:04:05Z",
        "finalizers": ["warlock.dev/host"],
        "annotations": {"warlock.dev/paused": "true", "warlock.dev/restart": "1"},
        "managedFields": [{"manager": "x"}],
    }
    made = parse("GameInstance", changed(sample("GameInstance"), "metadata", metadata)).metadata
    assert (made.generation, made.resource_version, made.uid) == (3, "77", "u")
    assert made.deleting
    assert made.paused
    assert not made.force_delete
    assert made.annotation(Annotation.RESTART) == "1"
    assert made.creation_timestamp is not None
    assert made.creation_timestamp.isoformat() == "2026-01-02T03:04:05+00:00"


def test_the_default_instance_has_a_name() -> None:
    made = parse("GameInstance", changed(sample("GameInstance"), "spec.instance_id", ABSENT))
    assert isinstance(made, GameInstance)
    assert made.instance_id == "default"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
STATUS_FIELDS = ("state", "conditions", "ports", "players", "observedGeneration", "lastSeen", "zzz")


@given(st.dictionaries(st.sampled_from(STATUS_FIELDS), json_values) | json_values)
def test_no_status_makes_an_object_broken(status: object) -> None:
    made = parse("GameInstance", changed(sample("GameInstance"), "status", status))
    assert made.spec == parse("GameInstance", sample("GameInstance")).spec


def test_the_good_fields_of_a_bad_status_are_kept() -> None:
    status = {
        "state": "Dancing",
        "path": "/opt/x",
        "players": {"online": -1},
        "ports": [{"name": "game", "port": 27961, "protocol": "UDP", "later": 1}],
        "later": {},
    }
    made = parse("GameInstance", changed(sample("GameInstance"), "status", status))
    assert isinstance(made, GameInstance)
    assert made.status is not None
    assert made.status.path == "/opt/x"
    assert made.status.state is None
    assert made.status.players is None
    assert [port.port for port in made.status.ports] == [27961]


def test_a_status_survives_the_way_out_and_in() -> None:
    status = {
        "observedGeneration": 2,
        "state": "Running",
        "instance_id": "default",
        "services": [{"name": "s", "mainPID": 4, "since": "2026-01-02T03:04:05Z", "restarts": 0}],
        "lastSeen": "2026-01-02T03:04:05Z",
        "metrics": {"cpuMillicores": 1},
    }
    made = parse("GameInstance", changed(sample("GameInstance"), "status", copy.deepcopy(status)))
    assert isinstance(made, GameInstance)
    assert made.status is not None
    assert made.status.state is InstanceState.RUNNING
    out = made.status.to_json()
    assert out["lastSeen"] == "2026-01-02T03:04:05Z"
    assert out["services"][0]["mainPID"] == 4
    again = parse("GameInstance", changed(sample("GameInstance"), "status", out))
    assert isinstance(again, GameInstance)
    assert again.status == made.status


@given(json_values)
def test_whatever_stands_in_a_spec_the_answer_is_a_model_or_invalid_object(spec: object) -> None:
    for kind in Kind:
        try:
            made = parse(kind, {"metadata": {"name": "x"}, "spec": spec})
        except InvalidObject:
            continue
        assert isinstance(made, Game | GameHost | GameInstance)
