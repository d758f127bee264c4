"""What every model has, whatever is in it."""

from __future__ import annotations

from warlock_operator.api.v1alpha1.instancestatus import GameInstanceStatus, Metrics


def test_models_carry_no_set_of_written_fields_each() -> None:
    bare, full = GameInstanceStatus(), GameInstanceStatus(path="/opt/a", metrics=Metrics(tasks=1))
    copied = full.model_copy(update={"path": "/opt/b"})
    sets = {id(one.__pydantic_fields_set__) for one in (bare, full, copied, full.metrics)}
    assert len(sets) == 1
    assert (copied.path, full.path, copied.metrics) == ("/opt/b", "/opt/a", full.metrics)
    assert GameInstanceStatus(path="/opt/b", metrics=Metrics(tasks=1)) == copied
