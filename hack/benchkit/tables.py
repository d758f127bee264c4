"""Tables in Markdown of what a run has measured. Every figure stands beside its ratio to ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchkit.measure import Sample, text
from benchkit.results import Results

PHASES = ("converge", "no-op", "one change", "status")
OURS = "agent"


def scene_table(results: Results, scene: str, titles: Mapping[str, str]) -> str:
    """Give one scene's table: a line a way, a column a phase; ``12 s (55)``: 55 times ours."""
    rows = []
    for way, title in titles.items():
        cells = [_cell(results, scene, phase, way) for phase in PHASES]
        if any(cells):
            rows.append([f"**{title}**" if way == OURS else title, *(c or "–" for c in cells)])
    users = results.find(scene, "converge with users", OURS)
    if users:
        ratio = _ratio(users, results.find(scene, "converge", OURS))
        rows.append(["the same, users made as well", f"{text(users.median)}{ratio}", "", "", ""])
    return table([scene, *PHASES], rows)


def latency_table(samples: Iterable[Sample], title: str) -> str:
    """Give a table of percentiles, a line a sample."""
    rows = [
        [
            sample.phase,
            sample.way,
            *(text(sample.percentile(share)) for share in (0.5, 0.95)),
            text(max(sample.seconds)),
            str(len(sample.seconds)),
        ]
        for sample in samples
    ]
    return table([title, "what", "p50", "p95", "slowest", "trials"], rows)


def about_line(results: Results) -> str:
    """Say where, when and of what."""
    known = results.about
    return (
        f"{known['date']}, commit {known['commit']}; {known['cores']} cores of {known['cpu']}, "
        f"{known['memory_gib']} GiB, Linux {known['kernel']}; load {known['load_before']} before "
        f"the run, {known.get('load_after', '?')} after it{known.get('note', '')}."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(results: Results, scene: str, phase: str, way: str) -> str:
    sample = results.find(scene, phase, way)
    if sample is None:
        return ""
    if way == OURS:
        return f"**{text(sample.median)}**"
    return text(sample.median) + _ratio(sample, results.find(scene, phase, OURS))


def _ratio(sample: Sample, ours: Sample | None) -> str:
    if ours is None:
        return ""
    ratio = sample.median / ours.median
    return f" ({ratio:.2g})" if ratio < 10 else f" ({ratio:.0f})"
