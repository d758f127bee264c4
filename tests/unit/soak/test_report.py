"""What a run says, so that one that went wrong can be replayed."""

from __future__ import annotations

import json
import shlex

from soakkit import report
from soakkit.__main__ import _parser
from soakkit.outcome import Outcome, Plan
from soakkit.slopes import Point

PLAN = Plan(seed=7, seconds=60.0, hosts=2, per_host=3, every_seconds=1.5)
POINTS = [Point(float(at), 1, float(at), 10.0 + at / 60) for at in range(0, 240, 2)]


def test_the_replay_makes_the_same_forecast() -> None:
    words = shlex.split(report.replay(Outcome(PLAN)))
    chosen = _parser().parse_args(words[1:])
    per_host = chosen.instances // chosen.hosts
    again = Plan(chosen.seed, chosen.seconds, chosen.hosts, per_host, chosen.every)
    assert words[0] == "hack/soak"
    assert again.forecast() == PLAN.forecast()


def test_what_went_wrong_is_told_with_the_way_to_replay_it() -> None:
    well, wrong = Outcome(PLAN, converged_seconds=2.0), Outcome(PLAN, wrong=["a save is gone"])
    assert "replay" not in report.text(well)
    assert "as declared 2.0 s after" in report.text(well)
    assert "- a save is gone" in report.text(wrong)
    assert report.replay(wrong) in report.text(wrong)


def test_growth_stands_in_the_table_and_every_sample_in_the_json() -> None:
    outcome = Outcome(PLAN, series={"operator, MB": POINTS})
    assert "| operator, MB | 10.0 | 14.0 | 10.0 | 14.0 | +1.000 |" in report.text(outcome)
    assert len(json.loads(report.plain(outcome))["series"]["operator, MB"]) == len(POINTS)
