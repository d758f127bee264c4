"""A real apiserver with the CRDs of this tree."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client, config

from tests.unit.api.objects import ROOT, Manifest, samples
from warlock_operator.api.names import GROUP, PLURALS, VERSION, Kind

SERVED_WITHIN_SECONDS = 30
REQUEST_SECONDS = 30
NAMESPACE = "admission"


@dataclass(frozen=True)
class Answer:
    """What the apiserver said: the object, or the status with why not."""

    code: int
    body: dict[str, Any]

    @property
    def accepted(self) -> bool:
        return self.code < 300

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Api:
    """Requests as kubectl makes them; unknown fields are refused, as ``--validate=strict`` does."""

    def __init__(self, kubeconfig: Path) -> None:
        found = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=found)
        self.server = found.host
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy or CA bundle of this machine is not meant
        self.session.verify = found.ssl_ca_cert
        if found.cert_file:
            self.session.cert = (found.cert_file, found.key_file)
        if token := found.get_api_key_with_prefix("BearerToken", alias="authorization"):
            self.session.headers["Authorization"] = token

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        **query: str,
    ) -> Answer:
        """Send one request; a refusal is an answer too."""
        answer = self.session.request(
            method,
            self.server + path,
            params=query,
            data=None if body is None else json.dumps(body),
            headers={"Content-Type": content_type},
            timeout=REQUEST_SECONDS,
        )
        return Answer(answer.status_code, answer.json())

    def create(self, manifest: Manifest, *, keep: bool = False) -> Answer:
        """Create the object; only for show, unless *keep*."""
        placed = copy.deepcopy(manifest)
        if "namespace" in placed["metadata"]:
            placed["metadata"]["namespace"] = NAMESPACE
        return self.request("POST", collection(placed), placed, **_query(keep))

    def replace(self, manifest: Manifest) -> Answer:
        """``kubectl replace``, for show."""
        return self.request("PUT", location(manifest), manifest, **_query(False))

    def merge(self, manifest: Manifest, patch: object) -> Answer:
        """``kubectl patch --type=merge``, for show."""
        return self.request(
            "PATCH",
            location(manifest),
            patch,
            "application/merge-patch+json",
            **_query(False),
        )

    def apply(self, manifest: Manifest) -> Answer:
        """``kubectl apply --server-side``, kept."""
        return self.request(
            "PATCH",
            location(manifest),
            manifest,
            "application/apply-patch+yaml",
            fieldManager="test",
            force="true",
            fieldValidation="Strict",
        )

    def get(self, manifest: Manifest) -> Manifest:
        """The object as it is now."""
        return self.request("GET", location(manifest)).body

    def delete(self, manifest: Manifest) -> Answer:
        """Delete it."""
        return self.request("DELETE", location(manifest))


def _query(keep: bool) -> dict[str, str]:
    query = {"fieldValidation": "Strict"}
    return query if keep else {**query, "dryRun": "All"}


def collection(manifest: Manifest) -> str:
    """Path of the objects of its kind."""
    kind = Kind(manifest["kind"])
    scope = f"/namespaces/{NAMESPACE}" if kind is Kind.GAME_INSTANCE else ""
    return f"/apis/{GROUP}/{VERSION}{scope}/{PLURALS[kind]}"


def location(manifest: Manifest) -> str:
    """Path of the object."""
    return f"{collection(manifest)}/{manifest['metadata']['name']}"


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Api]:
    """The apiserver, once it serves this tree's CRDs and the namespace of these tests."""
    made = Api(kubeconfig)
    for kind in Kind:
        _put_crd(made, kind)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    made.request("POST", "/api/v1/namespaces", body)
    for manifest in samples():
        _until(partial(made.create, manifest), lambda answer: answer.code in (201, 409))
    yield made
    made.session.close()


def _put_crd(api: Api, kind: Kind) -> None:
    manifest = yaml.safe_load((ROOT / "crds" / f"{PLURALS[kind]}.yaml").read_text())
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{manifest['metadata']['name']}"
    answer = api.request(
        "PATCH",
        path,
        manifest,
        "application/apply-patch+yaml",
        fieldManager="test",
        force="true",
        fieldValidation="Strict",
    )
    assert answer.accepted, answer.message
    _until(partial(api.request, "GET", path), _established)


def _established(crd: Answer) -> bool:
    conditions = crd.body.get("status", {}).get("conditions") or ()  # null at first
    found = {each["type"]: each["status"] for each in conditions}
    return found.get("Established") == "True" and found.get("NamesAccepted") == "True"


def _until(ask: Callable[[], Answer], right: Callable[[Answer], bool]) -> None:
    deadline = time.monotonic() + SERVED_WITHIN_SECONDS
    while not right(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
