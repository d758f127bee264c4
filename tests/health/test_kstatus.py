"""The kstatus library judges every recorded object."""

from __future__ import annotations

import pytest

from labkit import kstatus
from labkit.errors import LabError
from tests.health import expected, records
from tests.health.states import state_of


def test_every_record_has_the_status_that_it_should() -> None:
    files = records.files()
    found = [records.load(file) for file in files]
    answers = list(kstatus.compute(found))
    wrong = [
        f"{file.parent.parent.name} {file.stem}: {answer}"
        for file, each, answer in zip(files, found, answers, strict=True)
        if answer.status != expected.kstatus(each)
    ]
    assert wrong == []
    assert {answer.status for answer in answers} == {
        "InProgress",
        "Current",
        "Failed",
        "Terminating",
    }


def test_what_waits_is_told_why() -> None:
    found = [records.load(file) for file in records.files("GameInstance")]
    for each, answer in zip(found, kstatus.compute(found), strict=True):
        if answer.status in ("InProgress", "Failed") and state_of(each).word != "behind":
            assert answer.message == expected.health(each)["message"] or "out of sight" in (
                answer.message
            )


def test_without_its_default_a_new_object_would_be_current() -> None:
    new = records.load(records.GROUP_FOLDER / "GameInstance/testdata/behind-new.yaml")
    without = {key: value for key, value in new.items() if key != "status"}
    assert [each.status for each in kstatus.compute([new, without])] == ["InProgress", "Current"]


def test_what_is_no_object_is_told() -> None:
    with pytest.raises(LabError, match="line 2"):
        list(kstatus.compute([{"apiVersion": "v1", "kind": "X", "metadata": {}}, {}]))
