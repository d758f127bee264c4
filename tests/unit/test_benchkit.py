"""What a benchmark says of its samples: percentiles, ratios, a chart, a page made from a file."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchkit import chart, goals, report, results, tables, workload
from benchkit.cli import titles
from benchkit.measure import Sample, text

OURS = Sample("10 on 1", "converge", "agent", (0.2, 0.1, 0.3))
THEIRS = Sample("10 on 1", "converge", "ansible", (9.0,))


def test_a_percentile_is_a_trial_and_half_of_them_are_below_the_median() -> None:
    sample = Sample("s", "p", "w", tuple(n / 100 for n in range(1, 101)))
    assert [sample.percentile(share) for share in (0.5, 0.95, 1.0)] == [0.5, 0.95, 1.0]
    assert sample.median == pytest.approx(0.505)
    assert OURS.percentile(0.95) == 0.3


def test_seconds_are_said_with_three_digits_and_a_unit() -> None:
    assert [text(s) for s in (123.4, 1.234, 0.1234, 0.01234)] == [
        "123 s", "1.23 s", "123 ms", "12.3 ms",
    ]  # fmt: skip


def test_a_rival_stands_beside_its_ratio_to_ours() -> None:
    found = results.Results({}, [OURS, THEIRS])
    said = tables.scene_table(found, "10 on 1", {"agent": "ours", "ansible": "Ansible"})
    assert "| **ours** | **200 ms** | – | – | – |" in said
    assert "| Ansible | 9 s (45) | – | – | – |" in said
    assert "Ansible" not in tables.scene_table(results.Results({}, [OURS]), "10 on 1", {})


def test_a_goal_that_is_not_reached_says_so() -> None:
    slow = Sample("10 on 1", "converge", "ansible", (3.0,))
    for theirs, reached in ((THEIRS, "| yes |"), (slow, "| **no** |")):
        said = goals.table(results.Results({}, [OURS, theirs]))
        (line,) = [line for line in said.splitlines() if "ansible" in line]
        assert line.endswith(reached)


def test_newer_samples_take_the_place_of_older_ones_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    results.add(results.Results({"date": "1"}, [OURS, THEIRS]), file)
    newer = Sample("10 on 1", "converge", "agent", (0.05,))
    # What a page is made from at once is what it is made from later: not with more digits.
    exact = Sample("10 on 1", "no-op", "agent", (0.0511499999,))
    given = results.add(results.Results({"date": "2"}, [newer, exact]), file)
    found = results.read(file)
    assert given == found
    rounded = replace(exact, seconds=(0.05115,))
    assert (found.about, found.samples) == ({"date": "2"}, [newer, THEIRS, rounded])


def test_a_chart_has_decades_at_equal_distances_and_every_line() -> None:
    lines = {"agent": [(1, 0.01), (10, 0.1), (100, 1)], "a<b": [(1, 1), (100, 100)]}
    drawn = ElementTree.fromstring(chart.svg([chart.Panel("new & old", lines)], "agent"))
    found = [node.attrib["points"] for node in drawn.iter() if node.tag.endswith("polyline")]
    assert len(found) == len(lines)
    points = [tuple(map(float, point.split(","))) for point in found[0].split()]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(points)]
    assert steps[0] == pytest.approx(steps[1])


def test_the_page_in_docs_is_what_its_file_says(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    shutil.copy(report.PAGE, page)
    report.render(results.read(report.RESULTS), titles(), page)
    assert page.read_text() == report.PAGE.read_text(), "hack/bench --render"


def test_the_workload_restarts_the_changed_server_alone() -> None:
    before, after = workload.wish(10), workload.wish(10, changed=(4,))
    differ = [n for n in range(10) if before.servers[n].digest != after.servers[n].digest]
    assert differ == [4]
    assert len({s.user for s in before.servers}) == len({s.path for s in before.servers}) == 10
