"""
A chart in SVG: time against the number of game servers on one machine, both axes logarithmic.

Written here, so that it needs no library and reads well in a browser, light or dark: lines are
named at their ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]
"""(servers, seconds), by servers."""

_WIDTH, _HEIGHT, _GAP = 400, 330, 190
_LEFT, _TOP, _BOTTOM = 56, 46, 44
_COLOURS = ("#d9480f", "#868e96", "#1971c2", "#2f9e44", "#9c36b5", "#0c8599", "#e8590c", "#5f3dc4")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#495057}.h{font-weight:600;font-size:14px}"
    ".g{stroke:#adb5bd;stroke-opacity:.45}polyline{fill:none;stroke-width:2}.o{stroke-width:3.5}"
    "@media(prefers-color-scheme:dark){text{fill:#ced4da}}"
)


@dataclass(frozen=True)
class Panel:
    """One plot; lines by their titles."""

    title: str
    lines: Mapping[str, Points]


def svg(panels: Sequence[Panel], ours: str) -> str:
    """Draw *panels* side by side on the same axes; *ours* is drawn thicker."""
    points = [point for panel in panels for line in panel.lines.values() for point in line]
    scales = _Scale([x for x, _ in points], _WIDTH), _Scale([y for _, y in points], _HEIGHT)
    colours = dict(zip({t: 0 for p in panels for t in p.lines}, _COLOURS * 2, strict=False))
    step = _LEFT + _WIDTH + _GAP
    parts = [
        _panel(panel, at * step + _LEFT, scales, colours, ours) for at, panel in enumerate(panels)
    ]
    width, height = step * len(panels), _TOP + _HEIGHT + _BOTTOM
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{_STYLE}</style>\n{"".join(parts)}</svg>\n'
    )


class _Scale:
    """Maps values to pixels, by decades."""

    def __init__(self, values: Sequence[float], pixels: int) -> None:
        self._low = math.floor(math.log10(min(values)))
        self._high = max(self._low + 1, math.ceil(math.log10(max(values))))
        self._pixels = pixels

    def at(self, value: float) -> float:
        """Give pixels from the origin."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return round(share * self._pixels, 1)

    @property
    def decades(self) -> list[float]:
        """The powers of ten on the axis."""
        return [10.0**power for power in range(self._low, self._high + 1)]


def _panel(
    panel: Panel, left: int, scales: tuple[_Scale, _Scale], colours: Mapping[str, str], ours: str
) -> str:
    across, up = scales
    bottom = _TOP + _HEIGHT
    made = [_text(left, _TOP - 16, panel.title, "h")]
    for value in across.decades:
        x = left + across.at(value)
        made += [_line(x, _TOP, x, bottom), _text(x, bottom + 18, f"{value:g}", anchor="middle")]
    for value in up.decades:
        y = bottom - up.at(value)
        made += [_line(left, y, left + _WIDTH, y)]
        made += [_text(left - 6, y + 4, _seconds(value), anchor="end")]
    made.append(_text(left + _WIDTH / 2, bottom + 36, "game servers", anchor="middle"))
    ends = []
    for title, points in panel.lines.items():
        dots = [(left + across.at(x), bottom - up.at(y)) for x, y in points]
        path = " ".join(f"{x:g},{y:g}" for x, y in dots)
        kind = ' class="o"' if title == ours else ""
        made.append(f'<polyline{kind} stroke="{colours[title]}" points="{path}"/>\n')
        ends.append((dots[-1][1], dots[-1][0], title))
    return "".join([*made, *_names(ends, colours)])


def _names(ends: Sequence[tuple[float, float, str]], colours: Mapping[str, str]) -> list[str]:
    """Name the lines at their ends, moved apart where they would cover each other."""
    made, last = [], float("-inf")
    for y, x, title in sorted(ends):
        last = max(y, last + 14)
        name = escape(title)
        style = f"fill:{colours[title]}"
        made.append(f'<text x="{x + 8:g}" y="{last + 4:g}" style="{style}">{name}</text>\n')
    return made


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="g" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>\n'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>\n'


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"
