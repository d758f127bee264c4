"""Who is told what somebody had changed on a machine."""

from __future__ import annotations

from tests.unit.core.worlds import entry_of, instance
from warlock_agent import names
from warlock_agent.model import Ledger, StepResult
from warlock_operator.core.events import drift_events

FIRST, SECOND = (
    entry_of(instance(name, instance_id=id_), 27960)
    for name, id_ in (("a", None), ("b", "f50e8400-e29b-41d4-a716-446655440000"))
)
LEDGER = Ledger(instances=(FIRST, SECOND))


def told(target: str, key: str) -> list[str]:
    put_back = StepResult("WriteFile", target, key, found="it had been changed")
    return [who for who, _ in drift_events([put_back], LEDGER)]


def test_a_template_concerns_all_who_share_it() -> None:
    template = names.template_path("warlock-openarena")
    assert told(template, FIRST.key) == [FIRST.key, SECOND.key]


def test_a_file_of_its_own_concerns_one() -> None:
    drop_in = names.drop_in_path("warlock-openarena", "default")
    assert told(drop_in, FIRST.key) == [FIRST.key]


def test_what_nobody_had_changed_is_not_told() -> None:
    step = StepResult("WriteFile", names.template_path("warlock-openarena"), FIRST.key)
    assert not list(drift_events([step], LEDGER))
