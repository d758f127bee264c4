"""What a run says: a few lines and a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from labkit import paths
from scalekit.machine import described
from soakkit.outcome import Outcome
from soakkit.run import CONVERGE_SECONDS
from soakkit.slopes import Trend, trend

PAGE = paths.REPOSITORY / "docs" / "soak.md"
MARK = "<!-- measured: below this line a run writes -->"


def write(outcome: Outcome) -> None:
    """Replace what stands below the mark in ``docs/soak.md`` by this run."""
    kept, mark, _ = PAGE.read_text().partition(MARK)
    about = described()
    where = f"{about['date']}, commit {about['commit']}, {about['cores']} cores of {about['cpu']}."
    PAGE.write_text(f"{kept}{mark}\n\n{where}\n\n{text(outcome)}")


def replay(outcome: Outcome) -> str:
    """Give the command that lets the same weather happen again."""
    plan = outcome.plan
    return (
        f"hack/soak --seed {plan.seed} --seconds {plan.seconds:g} --hosts {plan.hosts} "
        f"--instances {plan.hosts * plan.per_host} --every {plan.every_seconds:g}"
    )


def text(outcome: Outcome) -> str:
    """Give the run in Markdown."""
    plan = outcome.plan
    lines = [
        f"{plan.hosts} machines, {plan.hosts * plan.per_host} instances, {plan.seconds:g} s, "
        f"seed {plan.seed}: {len(outcome.happened)} things happened, {outcome.ended} processes "
        f"ended by them.",
        "",
        _converged(outcome),
        "",
        *_happened(outcome),
        "",
        *_trends(outcome),
    ]
    if outcome.wrong:
        lines += ["", f"**Wrong: {len(outcome.wrong)}**", ""]
        lines += [f"- {each}" for each in outcome.wrong]
        lines += ["", f"To replay: `{replay(outcome)}`"]
    return "\n".join(lines) + "\n"


def plain(outcome: Outcome) -> str:
    """Give the run as JSON, with every sample."""
    whole: dict[str, Any] = {
        "replay": replay(outcome),
        "happened": [str(each) for each in outcome.happened],
        "converged_seconds": outcome.converged_seconds,
        "ended": outcome.ended,
        "idle": outcome.idle,
        "after": outcome.after,
        "series": {
            name: [[round(each.at_seconds, 1), each.whose, each.value] for each in points]
            for name, points in outcome.series.items()
        },
        "wrong": outcome.wrong,
    }
    return json.dumps(whole, indent=1) + "\n"


def _converged(outcome: Outcome) -> str:
    if outcome.converged_seconds is None:
        return f"Not as declared {CONVERGE_SECONDS:.0f} s after the last of it."
    return f"Everything was as declared {outcome.converged_seconds:.1f} s after the last of it."


def _happened(outcome: Outcome) -> list[str]:
    counts = Counter(each.kind.name for each in outcome.happened)
    rows = [f"| {name} | {count} |" for name, count in counts.most_common()]
    return ["| what happened | times |", "| --- | ---: |", *rows]


def _trends(outcome: Outcome) -> list[str]:
    head = "| | idle | after | least | most | a minute |"
    rows = []
    for name, points in sorted(outcome.series.items()):
        if points:
            found = trend(points)
            before = outcome.idle.get(name, found.first)
            after = outcome.after.get(name, found.last)
            rows.append(f"| {name} | {before:.1f} | {after:.1f} | {_range(found)} |")
    return [head, "| --- | ---: | ---: | ---: | ---: | ---: |", *rows]


def _range(found: Trend) -> str:
    slope = "–" if found.per_minute is None else f"{found.per_minute:+.3f}"
    return f"{found.least:.1f} | {found.most:.1f} | {slope}"
