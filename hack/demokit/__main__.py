"""``python -m demokit [--down] [--name NAME]``: hack/demo runs this."""

from __future__ import annotations

import argparse
import sys
import time

from demokit import demo
from labkit import progress
from labkit.errors import LabError


def main() -> int:
    """Run the demo or remove it; 0, 1 (failed), 2 (the machine can't), 130 (interrupted)."""
    parser = argparse.ArgumentParser(
        prog="hack/demo",
        description="Three game servers on two machines of a lab on this machine, from nothing.",
    )
    parser.add_argument("--down", action="store_true", help="remove every trace; the cache stays")
    parser.add_argument("--name", default=demo.NAME, help=f"of its lab (default: {demo.NAME})")
    chosen = parser.parse_args()
    started = time.monotonic()
    console = progress.Console()
    try:
        (demo.down if chosen.down else demo.up)(chosen.name, console)
    except LabError as error:
        print(f"hack/demo: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            "\nhack/demo: interrupted; run it again to go on, hack/demo --down removes all",
            file=sys.stderr,
        )
        return 130
    print(f"\n{'gone' if chosen.down else 'up'} after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
