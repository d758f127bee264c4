"""``hack/soak``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from labkit import lab, machine, progress
from labkit.errors import LabError
from soakkit import report
from soakkit.outcome import Outcome, Plan
from soakkit.run import run

_ABOUT = """\
Weather over a real operator and real machines of a lab that is made for it and taken down again:
people change objects, and faults befall processes, files, machines, operator and API server, all
at once and at random. Everything is watched meanwhile; at the end it must be as declared within a
minute. The same seed makes the same weather.
"""
_EXAMPLES = """\
examples:
  hack/soak                          an hour on 4 machines with 20 instances
  hack/soak --seconds 180            what the tests run
  hack/soak --seed 7 --forecast      only show what would happen
"""


def main() -> int:
    """Run; 0, 1 (something went wrong), 2 (the machine can't), 130 (interrupted)."""
    chosen = _parser().parse_args()
    per_host = max(1, chosen.instances // chosen.hosts)
    plan = Plan(chosen.seed, chosen.seconds, chosen.hosts, per_host, chosen.every)
    if chosen.forecast:
        print("\n".join(map(str, plan.forecast())))
        return 0
    try:
        outcome = _run(plan, chosen.name, keep=chosen.keep)
    except LabError as error:
        print(f"hack/soak: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"\nhack/soak: interrupted; hack/lab down --name {chosen.name}", file=sys.stderr)
        return 130
    print(report.text(outcome), end="")
    if chosen.output:
        chosen.output.write_text(report.plain(outcome))
    if chosen.write:
        report.write(outcome)
    return 1 if outcome.wrong else 0


def _run(plan: Plan, name: str, *, keep: bool) -> Outcome:
    machine.check()
    tell = progress.Console()
    try:
        made = lab.up(name, hosts=plan.hosts, progress_to=tell)
        hosts = [made.hosts[each] for each in sorted(made.hosts)][: plan.hosts]
        return run(plan, made, hosts, tell)
    finally:
        if not keep:
            lab.down(name, tell)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="hack/soak", description=_ABOUT, epilog=_EXAMPLES, formatter_class=layout
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="of weather (default: 3600)")
    parser.add_argument("--seed", type=int, default=1, help="of the weather (default: 1)")
    parser.add_argument("--hosts", type=int, default=4, metavar="N", help="machines (default: 4)")
    parser.add_argument(
        "--instances", type=int, default=20, metavar="N", help="on all of them (default: 20)"
    )
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="between two (default: 2)"
    )
    parser.add_argument("--forecast", action="store_true", help="show what would happen, and end")
    parser.add_argument("--output", type=Path, metavar="FILE", help="every sample, as JSON")
    parser.add_argument("--write", action="store_true", help="the table into docs/soak.md")
    parser.add_argument("--name", default="soak", help="of the lab (default: soak)")
    parser.add_argument("--keep", action="store_true", help="leave the lab")
    return parser


if __name__ == "__main__":
    sys.exit(main())
