"""``hack/scale``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from labkit import progress
from labkit.errors import LabError
from scalekit import report
from scalekit.machine import described
from scalekit.run import Plan, run


def main() -> int:
    """Measure; 0, 1 (failed), 2 (the machine can't), 130 (interrupted)."""
    chosen = _parser().parse_args()
    hosts = [10] if chosen.quick else chosen.hosts
    plan = Plan(
        chosen.name,
        sorted(hosts),
        chosen.instances,
        chosen.query,
        rest_seconds=5.0 if chosen.quick else chosen.rest,
        idle_seconds=10.0 if chosen.quick else chosen.idle,
        keep=chosen.keep,
    )
    try:
        records = run(plan, progress.Console())
    except LabError as error:
        print(f"hack/scale: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nhack/scale: interrupted; hack/lab down --name scale", file=sys.stderr)
        return 130
    result = {**described(), "query": plan.query, "sizes": records}
    text = json.dumps(result, indent=1) + "\n"
    print(report.markdown(result))
    if chosen.output:
        chosen.output.write_text(text)
        chosen.output.with_suffix(".svg").write_text(report.chart(result))
    else:
        print(text, end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/scale",
        description="The operator's process, a real API server and etcd, and simulated machines.",
    )
    parser.add_argument("--hosts", nargs="+", default=[100, 300, 1000], type=int, metavar="N")
    parser.add_argument(
        "--instances", default=10, type=int, metavar="M", help="on each host (default: 10)"
    )
    parser.add_argument("--query", action="store_true", help="count players as well")
    parser.add_argument(
        "--rest", type=float, default=75.0, metavar="SECONDS", help="before idle is measured"
    )
    parser.add_argument("--idle", type=float, default=60.0, metavar="SECONDS", help="for how long")
    parser.add_argument("--quick", action="store_true", help="10 hosts, hardly a rest")
    parser.add_argument("--keep", action="store_true", help="for the next run; hack/lab down")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="for the JSON; the chart goes beside it"
    )
    parser.add_argument("--name", default="scale", help="of its lab (default: scale)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
