"""The command line of ``hack/lab``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from labkit import images, lab, machine, progress, state
from labkit.errors import LabError

_ABOUT = """\
A laboratory on this machine: a real Kubernetes API server with etcd, and real systemd hosts.

Needs root on Debian 12 or 13; what is missing is installed with apt. Everything built is kept
in ~/.cache/warlock-operator, everything that runs in /var/lib/warlock-lab/NAME. Only loopback
and 198.18.0.0/15 are used.
"""
_EXAMPLES = """\
examples:
  hack/lab up                            two Debian 12 hosts and a cluster
  export KUBECONFIG=$(hack/lab kubeconfig)
  hack/lab ssh host-a systemctl status   a command on a host; no command: a shell
  hack/lab up --name old --suite bullseye --hosts 1     another lab beside it
  hack/lab up --argocd                   Argo CD and a git repository for it, too
  hack/lab down                          remove every trace but the cache
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0, 1 (failed), 2 (the machine can't)."""
    chosen = _parser().parse_args(arguments)
    try:
        return int(chosen.run(chosen) or 0)
    except LabError as error:
        print(f"hack/lab: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nhack/lab: interrupted; the next `up` goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="hack/lab", description=_ABOUT, epilog=_EXAMPLES, formatter_class=layout
    )
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="default", help="which lab (default: default)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("up", parents=[named], help="make a lab, finish or start one")
    one.add_argument("--hosts", type=int, default=2, metavar="N", help="how many (default: 2)")
    one.add_argument("--suite", default="bookworm", choices=images.SUITES, help="Debian's release")
    one.add_argument("--vm", action="store_true", help="virtual machines with their own kernel")
    one.add_argument(
        "--preinstalled", action="store_true", help=f"hosts come with {images.GAME} installed"
    )
    one.add_argument(
        "--cluster",
        default="local",
        choices=("local", "kind", "none"),
        help="local: processes on loopback; kind: needs Docker; none: hosts only",
    )
    one.add_argument(
        "--argocd",
        action="store_true",
        help="Argo CD beside the cluster, and a bare git repository that it can read",
    )
    one.set_defaults(run=_up)

    one = commands.add_parser("down", parents=[named], help="remove a lab with every trace")
    one.add_argument("--all", action="store_true", help="all labs of this machine")
    one.set_defaults(run=_down)

    one = commands.add_parser("status", parents=[named], help="what runs")
    one.add_argument("--json", action="store_true", help="everything known, for programs")
    one.set_defaults(run=_status)

    one = commands.add_parser("kubeconfig", parents=[named], help="print the kubeconfig's path")
    one.set_defaults(run=lambda chosen: print(lab.load(chosen.name).kubeconfig))

    one = commands.add_parser("ssh", parents=[named], help="a shell or a command on a host")
    one.add_argument("--user", default="root", help="root or warlock (has sudo)")
    one.add_argument("host", metavar="HOST")
    one.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    one.set_defaults(run=_ssh)
    return parser


def _up(chosen: argparse.Namespace) -> None:
    made = lab.up(
        chosen.name,
        chosen.hosts,
        chosen.suite,
        preinstalled=chosen.preinstalled,
        vm=chosen.vm,
        cluster=chosen.cluster,
        argocd=chosen.argocd,
        progress_to=progress.Console(),
    )
    if made.cluster:
        named = "" if made.name == "default" else f" --name {made.name}"
        print(f"export KUBECONFIG=$(hack/lab kubeconfig{named})")
    if made.argocd:
        print(f"git remote add lab {made.argocd.repository_url}")


def _down(chosen: argparse.Namespace) -> None:
    for name in state.names() if chosen.all else [chosen.name]:
        lab.down(name, progress.Console())


def _status(chosen: argparse.Namespace) -> int:
    machine.check()
    if chosen.json:
        print(state.text(chosen.name), end="")
        return 0
    if not state.names():
        print("no lab here: hack/lab up")
        return 0
    row = "{:<12} {:<30} {:<9} {:<15} {}".format
    print(row("LAB", "PART", "STATE", "ADDRESS", "WHAT"))
    for name in state.names():
        for line in _rows(lab.load(name)):
            print(row(name, *line))
    return 0


def _rows(found: lab.Lab) -> list[tuple[str, str, str, str]]:
    """Return part, state, address and kind of everything in a lab."""
    rows = []
    parts = found.cluster.running() if found.cluster else {}
    parts |= found.argocd.running() if found.argocd else {}
    for part, running in parts.items():
        rows.append((part, "running" if running else "stopped", "127.0.0.1", str(found.folder)))
    for host in found.hosts.values():
        what = f"{host.state.suite} {host.state.kind}"
        what += " preinstalled" if host.state.preinstalled else ""
        rows.append((host.name, "running" if host.running else "off", host.address, what))
    return rows


def _ssh(chosen: argparse.Namespace) -> None:
    found = lab.load(chosen.name)
    if chosen.host not in found.hosts:
        known = ", ".join(found.hosts) or "none"
        raise LabError(f"no host {chosen.host!r} in lab {found.name} (hosts: {known})")
    argv = found.hosts[chosen.host].ssh_argv(chosen.user)
    if chosen.command:
        argv += ["--", *chosen.command]
    elif sys.stdin.isatty():
        argv.insert(1, "-t")
    os.execvp(argv[0], argv)  # ssh's exit code is ours
