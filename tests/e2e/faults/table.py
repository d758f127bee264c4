"""What a run has measured, as the table of ``docs/faults.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tests.e2e.faults.acts import EXTRA
from tests.e2e.faults.row import ARENA, HOST, Measured, Row

MARK = "<!-- measured: below this line a run writes -->"
_COLUMNS = (
    "fault",
    "how it is made",
    "what the status says meanwhile",
    "cure",
    "healed after",
    "limit",
)
_HEAD = (f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}")


def markdown(
    sections: Mapping[str, Sequence[Row]], measured: Mapping[str, Measured], before: str
) -> str:
    """
    Give a table a section.

    Args:
        measured: by the row's id; a row that this run did not walk keeps its time.
        before: the tables of the run before.
    """
    cells = [line.split(" | ") for line in before.splitlines() if line.startswith("| ")]
    times = {each[0].removeprefix("| "): each[-2] for each in cells if len(each) == len(_COLUMNS)}
    lines: list[str] = []
    for title, rows in sections.items():
        told = [
            _line(row, _time(measured[row.id]) if row.id in measured else times.get(row.name, ""))
            for row in rows
        ]
        lines += [f"## {title}", "", *_HEAD, *told, ""]
    return "\n".join(lines)


def settings(chosen: Mapping[str, str]) -> str:
    """Say what the run was set to; the times follow from it."""
    said = "\n".join(f"{name}={value}" for name, value in sorted(chosen.items()))
    return f"Measured with these settings, and otherwise the defaults:\n\n```\n{said}\n```\n\n"


def _time(measured: Measured) -> str:
    return f"{measured.healed_seconds:.1f} s" if measured.failure is None else "not"


def _line(row: Row, healed: str) -> str:
    cells = (
        row.name,
        row.made.text,
        "<br>".join(_says(row)) or _silence(row),
        row.cured.text,
        healed,
        f"{row.heals_seconds:g} s",
    )
    return f"| {' | '.join(cells)} |"


_WHOSE = {HOST: "GameHost ", ARENA: "", EXTRA: "the new instance "}


def _silence(row: Row) -> str:
    return "nothing: it is served all the same" if row.unharmed else "nothing that lasts"


def _says(row: Row) -> Iterable[str]:
    for says in row.says:
        whose = _WHOSE.get(says.about, f"GameHost {says.about.lstrip('/')} ")
        hint = f" (“{'…'.join(says.hint)}”)" if says.hint else ""
        yield f"{whose}`{says.type}={says.status} {says.reason}`{hint}"


def plain(measured: Iterable[Measured]) -> list[str]:
    """Give a line a row for the terminal."""
    return [
        f"{each.row.name:<44} seen {each.seen_seconds:5.1f} s  healed {each.healed_seconds:5.1f} s"
        f"  of {each.row.heals_seconds:g} s{'' if _good(each) else '  FAILED'}"
        for each in measured
    ]


def _good(measured: Measured) -> bool:
    in_time = measured.healed_seconds <= measured.row.heals_seconds
    return measured.failure is None and not measured.harm and in_time
