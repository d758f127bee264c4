"""``python -m warlock_operator``: runs the operator. Knobs are environment variables."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys

from warlock_operator import log, settings
from warlock_operator.process import serve


def main() -> int:
    """Read the settings, run until the end; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="warlock-operator",
        description="Runs game servers on bare-metal hosts as GameInstances say.",
        epilog="environment variables:\n"
        + "\n".join(f"  {name} ({default or 'empty'}): {why}" for name, default, why in _knobs()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--transport",
        choices=("ssh", "fixture"),
        help="how hosts are reached; fixture: hosts in memory, to try things out",
    )
    chosen = parser.parse_args()
    environ = dict(os.environ)
    if chosen.transport:
        environ[settings.variable("transport")] = chosen.transport
    try:
        knobs = settings.from_environment(environ)
    except settings.SettingInvalid as error:
        parser.error(str(error))
    log.configure(knobs.log_level)
    _dump_no_core()
    for name in settings.unknown_variables(environ):
        sys.stderr.write(f"warlock-operator: {name} is no setting; see --help\n")
    return asyncio.run(serve(knobs))


def _dump_no_core() -> None:
    """Keep the SSH keys, which are in memory alone, off the disk when the process crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _knobs() -> list[tuple[str, str, str]]:
    return settings.describe()


if __name__ == "__main__":
    sys.exit(main())
