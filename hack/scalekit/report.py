"""
Turn a run's JSON into the tables and the chart of ``docs/scale.md``.

The exponent of a cost is the slope between the smallest and the largest fleet, log against log:
1 grows as the fleet does, 2 as its square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Cost = tuple[str, Callable[[Record], float], str]

COSTS: Sequence[Cost] = (
    ("settled, wall clock", lambda r: r["start"]["settled_seconds"], "{:.1f} s"),
    ("CPU of the operator until settled", lambda r: r["start"]["cpu_seconds"], "{:.1f} s"),
    ("CPU of the machines meanwhile", lambda r: r["start"]["machines_cpu_seconds"], "{:.1f} s"),
    ("CPU of API server and etcd", lambda r: r["start"]["control_plane_cpu_seconds"], "{:.1f} s"),
    ("API requests", lambda r: _requests(r), "{:.0f}"),
    ("API writes, the Lease's left out", lambda r: r["start"]["writes"], "{:.0f}"),
    ("steps done on machines", lambda r: r["start"]["changes"], "{:.0f}"),
    ("round trips a host", lambda r: r["start"]["round_trips"] / r["hosts"], "{:.2f}"),
    ("memory when settled", lambda r: r["start"]["rss_bytes"] / 2**20, "{:.0f} MB"),
    ("memory at rest", lambda r: r["idle"]["rss_bytes"] / 2**20, "{:.0f} MB"),
    ("CPU at rest, of one core", lambda r: r["idle"]["cpu_percent"], "{:.1f} %"),
    ("API writes at rest, a second", lambda r: r["idle"]["writes_per_second"], "{:.2f}"),
)
DRAWN = {
    COSTS[0][0]: "#1f5fa8",
    COSTS[1][0]: "#b3541e",
    COSTS[8][0]: "#4a7a3a",
    COSTS[10][0]: "#7a3a75",
}


def markdown(result: Mapping[str, Any]) -> str:
    """Give the table of second starts and rest, an exponent a line."""
    sizes: Sequence[Record] = result["sizes"]
    head = [f"{size['instances']:,} on {size['hosts']:,}" for size in sizes]
    lines = ["| | " + " | ".join(head) + " | exponent |", "| --- " * (len(head) + 2) + "|"]
    for title, value, form in COSTS:
        values = [value(size) for size in sizes]
        told = [form.format(one) for one in values]
        lines.append(f"| {title} | {' | '.join(told)} | {_told(exponent(sizes, values))} |")
    return "\n".join(lines) + "\n"


def exponent(sizes: Sequence[Record], values: Sequence[float]) -> float | None:
    """The slope from the smallest to the largest; None where a cost is nothing, or one size."""
    if len(sizes) < 2 or min(values[0], values[-1]) <= 0:
        return None
    whole = sizes[-1]["instances"] / sizes[0]["instances"]
    return math.log(values[-1] / values[0]) / math.log(whole)


def chart(result: Mapping[str, Any]) -> str:
    """Draw four of the costs against the number of instances, log against log, as SVG."""
    sizes: Sequence[Record] = result["sizes"]
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 400" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="640" height="400" fill="white"/>',
    ]
    for power in range(-1, 4):
        lines.append(_rule(_y(10.0**power), f"{10.0**power:g}"))
    for size in sizes:
        x = _x(size["instances"])
        lines.append(f'<text x="{x:.0f}" y="375" text-anchor="middle">{size["instances"]:,}</text>')
    drawn = [cost for cost in COSTS if cost[0] in DRAWN]
    for number, (title, value, form) in enumerate(drawn):
        points = [(_x(size["instances"]), _y(max(value(size), 0.1))) for size in sizes]
        colour = DRAWN[title]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        unit = form.partition("}")[2].strip()
        lines.append(f'<text x="70" y="{30 + 16 * number}" fill="{colour}">{title} ({unit})</text>')
    lines.append('<text x="350" y="394" text-anchor="middle">instances, ten on each host</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _requests(record: Record) -> float:
    start = record["start"]
    return float(sum(start["requests"].values()) - start["lease_writes"])


def _told(found: float | None) -> str:
    return "" if found is None else f"{found:.2f}"


def _x(instances: float) -> float:
    return 60 + 270 * (math.log10(instances) - 2.0)


def _y(value: float) -> float:
    return 350 - 80 * (math.log10(value) + 1)


def _rule(y: float, text: str) -> str:
    line = f'<line x1="55" x2="620" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
    return f'{line}<text x="48" y="{y + 4:.0f}" text-anchor="end">{text}</text>'
