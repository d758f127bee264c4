"""The sample GitOps repository: every overlay is taken as it lies there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kube.conftest import ROOT

GITOPS = ROOT / "manifests/samples/gitops"
OVERLAYS = ("one-site", "two-sites")
WAVE, OPTIONS = "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/sync-options"
WAVES = {
    "CustomResourceDefinition": "-1", "Namespace": "0", "Game": "0", "GameHost": "0",
    "GameInstance": "1",
}  # fmt: skip
OURS = ("Game", "GameHost", "GameInstance")
Render = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def render(kubectl: Callable[..., str]) -> Render:
    """What kustomize makes of a directory of the repository."""

    def rendered(folder: str) -> list[dict[str, Any]]:
        text = kubectl("kustomize", str(GITOPS / folder))
        return [each for each in yaml.safe_load_all(text) if each]

    return rendered


@pytest.fixture(scope="module")
def games_namespace(kubectl: Callable[..., str], installed: None) -> Iterator[None]:
    """The namespace of the samples: where it is not there, nothing in it is accepted."""
    kubectl("create", "namespace", "games")
    yield
    kubectl("delete", "namespace", "games", "--wait=false")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_apiserver_takes_an_overlay_without_a_warning(
    kubectl: Callable[..., str], games_namespace: None, overlay: str
) -> None:
    said = kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "-k", str(GITOPS / "overlays" / overlay),
    )  # fmt: skip
    assert said.count("(server dry run)") == {"one-site": 8, "two-sites": 11}[overlay]
    assert "arning" not in said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_client_side_apply_takes_its_objects_too(
    kubectl: Callable[..., str], render: Render, games_namespace: None, overlay: str, tmp_path: Path
) -> None:
    """That is what Argo CD does by itself. (The kinds were applied server-side here.)"""
    own = [each for each in render(f"overlays/{overlay}") if each["kind"] in OURS]
    file = tmp_path / "overlay.yaml"
    file.write_text(yaml.safe_dump_all(own))
    said = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(file))
    assert said.count("created (server dry run)") == len(own) >= 4
    assert "arning" not in said


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_has_the_wave_of_its_kind(render: Render, overlay: str) -> None:
    found = render(f"overlays/{overlay}")
    assert {each["kind"] for each in found} == set(WAVES)
    for each in found:
        assert each["metadata"]["annotations"][WAVE] == WAVES[each["kind"]], each["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_that_takes_a_server_along_goes_unasked(render: Render, overlay: str) -> None:
    for each in render(f"overlays/{overlay}"):
        options = each["metadata"]["annotations"].get(OPTIONS)
        match each["kind"]:
            case "GameInstance" | "Namespace":
                assert options == "Prune=confirm,Delete=confirm"
            case "CustomResourceDefinition":
                assert options == "Prune=false,Delete=false"
            case _:
                assert options is None


def test_two_sites_share_no_port_and_each_keeps_to_its_own_machine(render: Render) -> None:
    found = render("overlays/two-sites")
    hosts = {each["metadata"]["name"]: each["spec"] for each in found if each["kind"] == "GameHost"}
    ports = [
        set(range(each["from"], each["to"] + 1))
        for spec in hosts.values()
        for each in spec["ports"]["ranges"]
    ]
    assert len(ports) == 2
    assert not ports[0] & ports[1]
    assert len({spec["address"] for spec in hosts.values()}) == 2
    assert len({spec["ssh"]["keySecret"]["name"] for spec in hosts.values()}) == 2
    for each in found:
        if each["kind"] == "GameInstance":
            site = each["metadata"]["name"].partition("-")[0]
            assert each["spec"]["host"] == f"{site}-host-a" in hosts


def test_no_key_lies_in_the_repository_and_no_object_in_two_applications(render: Render) -> None:
    def named(folder: str) -> set[tuple[str, str, str]]:
        return {
            (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
            for each in render(folder)
        }

    operator = named("operator")
    assert ("Deployment", "warlock-system", "warlock-operator") in operator
    for overlay in OVERLAYS:
        assert not operator & named(f"overlays/{overlay}")
        assert not any(kind == "Secret" for kind, _, _ in named(f"overlays/{overlay}"))


def test_the_applications_name_directories_that_are_there(render: Render) -> None:
    found = render("argo-cd")
    assert [each["kind"] for each in found] == ["Application"] * 2
    for each in found:
        path = ROOT / each["spec"]["source"]["path"]
        assert (path / "kustomization.yaml").is_file()
