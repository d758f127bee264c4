"""
Puts a run's tables and chart into ``docs/performance.md``, between the marks that stand there.

The words around them are written by hand; what a mark names is made from the JSON file beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from benchkit import chart, goals, tables
from benchkit.results import Results
from labkit import paths

PAGE = paths.REPOSITORY / "docs" / "performance.md"
FOLDER = paths.REPOSITORY / "docs" / "performance"
RESULTS = FOLDER / "bench.json"
_BLOCK = re.compile(r"(<!-- bench: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ONE_MACHINE = re.compile(r"(\d+) on 1")


def blocks(results: Results, titles: Mapping[str, str]) -> dict[str, str]:
    """Give every block's text by its name."""
    scenes = list(dict.fromkeys(s.scene for s in results.samples if s.way in titles))
    latencies = dict.fromkeys(s.scene for s in results.samples if s.way not in titles)
    return {
        "about": f"{tables.about_line(results)}\n",
        "goals": goals.table(results),
        "hosts": "\n".join(tables.scene_table(results, scene, titles) for scene in scenes),
        "cluster": "\n".join(
            tables.latency_table((s for s in results.samples if s.scene == scene), scene)
            for scene in latencies
        )
        or "Not measured in this run.\n",
    }


def render(results: Results, titles: Mapping[str, str], page: Path = PAGE) -> None:
    """Write tables and chart anew."""
    made = blocks(results, titles)
    text = page.read_text()
    page.write_text(_BLOCK.sub(lambda m: f"{m[1]}\n{made.get(m[2], '')}\n{m[3]}", text))
    panels = [_panel(results, phase) for phase in ("converge", "no-op")]
    if page == PAGE and all(panel.lines for panel in panels):
        (FOLDER / "time.svg").write_text(chart.svg(panels, tables.OURS))


def _panel(results: Results, phase: str) -> chart.Panel:
    """Put together what was measured on one machine with different numbers of servers."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for sample in results.samples:
        found = _ONE_MACHINE.fullmatch(sample.scene)
        if found and sample.phase == phase:
            lines.setdefault(sample.way, []).append((float(found[1]), sample.median))
    whole = {way: sorted(points) for way, points in lines.items() if len(points) > 1}
    return chart.Panel({"converge": "new game servers"}.get(phase, "nothing to do"), whole)
