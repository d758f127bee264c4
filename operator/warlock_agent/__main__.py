"""
The agent's command line; every command is usable by hand on a host, as root.

``serve`` is what the operator starts. ``install`` and ``probe`` are what
transient units run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Optional

from . import PROTOCOL, wire


def main(arguments: Optional[list[str]] = None) -> int:
    """Run one command; give the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words or ["serve"])
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warlock-agent", description="Makes this host what Warlock Operator wants it to be."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_serve(commands)
    one = commands.add_parser(
        "converge", help="read one Converge frame from standard input, make the host so, report"
    )
    one.set_defaults(run=_converge)
    one = commands.add_parser("observe", help="print the host as it is, as JSON; change nothing")
    one.set_defaults(run=_observe)
    one = commands.add_parser("version", help="print protocol and digest of this agent")
    one.set_defaults(run=_version)
    _add_install(commands)
    one = commands.add_parser("probe", help="write what a unit's limits are worth here to a file")
    one.add_argument("--output", required=True)
    one.add_argument("--sandbox", action="store_true", help="the unit asks for a sandbox as well")
    one.set_defaults(run=_probe)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from .serve import Options

    one = commands.add_parser(
        "serve",
        help="speak frames on standard input and output until the other side is gone (default)",
    )
    for field in dataclasses.fields(Options):
        kind = type(field.default)
        flag = "--" + field.name.replace("_", "-")
        one.add_argument(flag, type=kind, default=field.default, help=f"default {field.default}")
    one.set_defaults(run=_serve)


def _add_install(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = commands.add_parser("install", help="install packages, writing progress to a directory")
    one.add_argument("--directory", required=True, help="of the operation; must exist")
    one.add_argument("--timeout-seconds", type=float, default=1800.0)
    one.add_argument("--apt", action="append", default=[], help="a package; may be repeated")
    one.add_argument("--mask", action="append", default=[], help="a unit; may be repeated")
    one.set_defaults(run=_install)


def _serve(options: argparse.Namespace) -> int:
    from .serve import Options, serve

    names = (field.name for field in dataclasses.fields(Options))
    return serve(Options(**{name: getattr(options, name) for name in names}))


def _converge(_: argparse.Namespace) -> int:
    """Exit status 0: a report came; 1: it was refused, see the Fault; 2: no Converge frame."""
    from .serve import Agent, Options

    try:
        frame = wire.decode(sys.stdin.buffer.readline())
    except wire.WireError as error:
        print(f"standard input: {error}", file=sys.stderr)
        return 2
    if not isinstance(frame, wire.Converge):
        print(f"standard input: expected Converge, got {type(frame).__name__}", file=sys.stderr)
        return 2
    answers: list[wire.Answer] = []
    Agent(Options()).passes.converge(frame, answers.append)
    for answer in answers:
        sys.stdout.write(wire.encode(answer).decode("ascii"))
    return 0 if any(isinstance(answer, wire.Report) for answer in answers) else 1


def _observe(_: argparse.Namespace) -> int:
    from .ledger import LedgerUnreadable
    from .serve import Agent, Options

    try:
        observed = Agent(Options()).observer.look()
    except LedgerUnreadable as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(wire.to_plain(observed, whole=False), indent=2, sort_keys=True))
    return 0


def _version(_: argparse.Namespace) -> int:
    from .serve import archive_digest

    print(f"protocol {PROTOCOL}, digest {archive_digest() or 'none (run from source)'}")
    return 0


def _install(options: argparse.Namespace) -> int:
    from .install import run_install

    done = run_install(options.apt, options.mask, options.directory, options.timeout_seconds)
    return 0 if done else 1


def _probe(options: argparse.Namespace) -> int:
    from .features import probe

    probe(options.output, options.sandbox)
    return 0


if __name__ == "__main__":
    sys.exit(main())
