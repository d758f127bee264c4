"""The command line of ``hack/bench``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchkit import report, results, rivals, suites, tables, turn
from benchkit.ways import all_ways
from benchkit.ways.way import Way
from labkit import lab, machine, progress
from labkit.errors import LabError

_ABOUT = """\
What it costs to make game servers run, against floors and rivals, on real machines of a lab
that is made for it and taken down again. All of it runs on this machine: read the ratios.

Needs what hack/lab needs. The rivals (Ansible, pyinfra) are installed into an environment of
their own, once.
"""
_EXAMPLES = """\
examples:
  hack/bench --quick                 one machine, ten servers, few trials: under three minutes
  hack/bench                         everything, in an hour and a half, half of it Ansible's
  hack/bench --only 10x1 --ways agent,program,bare      one scene, three ways
  hack/bench --only kill             a killed game server, until its condition says so
  hack/bench --write                 everything, into docs/performance.md and its chart
"""


def main(arguments: Sequence[str]) -> int:
    """Measure and print; 0, 1 (failed), 2 (the machine can't), 130 (interrupted)."""
    chosen = _parser().parse_args(arguments)
    try:
        return _render() if chosen.render else _measure(chosen)
    except LabError as error:
        print(f"hack/bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nhack/bench: interrupted; the lab goes", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="hack/bench", description=_ABOUT, epilog=_EXAMPLES, formatter_class=layout
    )
    known = "".join(f"\n{suite.name:>8}  {suite.title}" for suite in suites.SUITES)
    parser.epilog = f"what --only takes:{known}\n\n{_EXAMPLES}"
    parser.add_argument("--quick", action="store_true", help="few trials of what is quick")
    parser.add_argument("--only", metavar="NAMES", help="some of what is below, with commas")
    parser.add_argument("--ways", metavar="NAMES", help=f"of {', '.join(titles())}; ours always")
    parser.add_argument("--rounds", type=int, metavar="N", help="of every quick way and fleet")
    parser.add_argument("--trials", type=int, metavar="N", help="of what is tried one by one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="add the results to it, as JSON")
    parser.add_argument("--write", action="store_true", help="also into docs/performance*")
    parser.add_argument("--render", action="store_true", help="only write docs/ anew, measure not")
    parser.add_argument("--name", default="bench", help="of the lab (default: bench)")
    parser.add_argument("--keep", action="store_true", help="leave the lab for the next run")
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="hold it while measuring, like flock does"
    )
    return parser


def _measure(chosen: argparse.Namespace) -> int:
    wanted = suites.chosen(chosen.only, chosen.quick)
    tell = progress.Console()
    started = time.monotonic()
    machine.check()
    found = results.Results(results.about())
    ways = _ways(chosen.ways, tell)
    try:
        around = suites.Around(
            chosen.name,
            ways,
            chosen.quick,
            chosen.rounds,
            chosen.trials,
            _turn(chosen.lock),
            tell,
        )
        for suite in wanted:
            found.merge(suite.run(around))
            found.about["load_after"] = results.load()
            if chosen.out:
                results.add(found, chosen.out)
            if chosen.write:  # it is long, and what has been measured is worth having
                _write(found)
    finally:
        if not chosen.keep:
            lab.down(chosen.name, tell)
    for text in report.blocks(found, titles()).values():
        print(f"\n{text}", end="")
    print(f"\nmeasured in {time.monotonic() - started:.0f} s")
    return 0


def _write(fresh: results.Results) -> None:
    """Take the samples into the file in docs/; what was not measured now stays."""
    report.render(results.add(fresh, report.RESULTS), titles())


def _render() -> int:
    report.render(results.read(report.RESULTS), titles())
    return 0


def _ways(names: str | None, tell: progress.Callback) -> list[Way]:
    asked = set(names.split(",")) if names else set(titles())
    unknown = asked - set(titles())
    if unknown:
        raise LabError(f"no way is called {', '.join(unknown)}: {', '.join(titles())}")
    python = rivals.python(tell) if asked & {"ansible", "pyinfra"} else Path()
    return [way for way in all_ways(python) if way.name in asked or way.name == tables.OURS]


def titles() -> dict[str, str]:
    """Give every way's title by its name, in the order of tables."""
    return {way.name: way.title for way in all_ways(Path())}


def _turn(lock: Path | None) -> turn.Turn:
    return turn.with_lock(lock) if lock else turn.nobody_else
