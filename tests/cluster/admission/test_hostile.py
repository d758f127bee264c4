"""An attacker's values in every string of every kind: what is admitted is what the models read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.admission.conftest import Answer, Api
from tests.hostile.corpus import CORPUS
from tests.hostile.walk import places, planted
from warlock_operator.api.names import Kind
from warlock_operator.api.v1alpha1.parse import parse
from warlock_operator.errors import InvalidObject

CASES = [(kind, pattern) for kind in Kind for pattern in places(kind)]
TOO_LARGE = 413
_BY_THE_APISERVER = "metadata."
"""The apiserver decides these by itself, before any rule of ours."""


@pytest.mark.parametrize(("kind", "pattern"), CASES, ids=str)
def test_the_apiserver_and_the_models_agree_on_every_value(
    api: Api, kind: Kind, pattern: str
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda value: _answer(api, kind, pattern, value), CORPUS))
    for value, answer in zip(CORPUS, answers, strict=True):
        assert answer.code < 500, (ascii(value)[:80], answer.message[:500])
        if answer.accepted:
            assert _reads(kind, answer.body), (ascii(value)[:80], "is admitted and can't be read")
        elif not pattern.startswith(_BY_THE_APISERVER):
            refused = not _reads(kind, planted(kind, pattern, value))
            told = ascii(value)[:80], answer.message[:500]
            assert refused or answer.code == TOO_LARGE, told


def _answer(api: Api, kind: Kind, pattern: str, value: str) -> Answer:
    made = planted(kind, pattern, value)
    if pattern != "metadata.name":
        made["metadata"]["name"] = "hostile"
    return api.create(made)


def _reads(kind: Kind, manifest: dict[str, object]) -> bool:
    try:
        parse(kind, manifest)
    except InvalidObject:
        return False
    return True
