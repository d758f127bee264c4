"""
One shell script through one ssh, connection included: what a good administrator keeps in a file.

bash does the comparing and writing itself and starts a process only where it must: one ``mkdir``,
one ``stat`` of all directories, one ``systemctl enable --now`` of all units, which reloads once.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from benchkit.machines import Wishes
from benchkit.workload import TEMPLATE, Server, Wish
from labkit.commands import clean_environment
from labkit.errors import LabError
from labkit.host import Host
from warlock_agent import names

# put UNIT MODE PATH: the content comes on standard input. Writes where it differs.
_HEAD = """
set -u
declare -A changed=()
written=
put() {
    local wanted found=
    IFS= read -rd '' wanted
    [ ! -e "$3" ] || IFS= read -rd '' found <"$3"
    [ "$wanted" != "$found" ] || return 0
    (umask "$2"; printf %s "$wanted" >"$3")
    [ -z "$1" ] || changed[$1]=1
    case $3 in *.service|*.conf) written=1 ;; esac
}
"""
_TAIL = """
new=() old=()
for unit in "${units[@]}"; do
    if [ ! -L "$wants/$unit" ]; then new+=("$unit")
    elif [ -n "${changed[$unit]:-}" ]; then old+=("$unit"); fi
done
if [ ${#new[@]} -gt 0 ]; then systemctl enable --quiet --now "${new[@]}"
elif [ -n "$written" ]; then systemctl daemon-reload; fi
[ ${#old[@]} -eq 0 ] || systemctl restart "${old[@]}"
down=()
while read -r state && read -r unit <&3; do
    [ "$state" = active ] || down+=("$unit")
done < <(systemctl is-active "${units[@]}") 3< <(printf '%s\\n' "${units[@]}")
[ ${#down[@]} -eq 0 ] || systemctl start "${down[@]}"
"""


class Script:
    """See the module."""

    name = "script"
    title = "one bash script through one ssh"
    slow = False

    def __init__(self) -> None:
        self._hosts: Sequence[Host] = ()
        self._scripts: list[str] = []
        self._looks: list[str] = []

    def open(self, hosts: Sequence[Host]) -> None:
        """Nothing is kept open."""
        self._hosts = hosts

    def wish(self, wishes: Wishes) -> None:
        """Write the scripts."""
        self._scripts = [script_of(wishes[host.name]) for host in self._hosts]
        self._looks = [f"systemctl is-active {' '.join(wishes[h.name].units)}" for h in self._hosts]

    def run(self) -> None:
        """Pipe each into a bash of its own."""
        self._pipe(self._scripts)

    def look(self) -> None:
        """Likewise, for the states."""
        self._pipe(self._looks)

    def close(self) -> None:
        """Nothing is open."""

    def _pipe(self, scripts: Sequence[str]) -> None:
        with ThreadPoolExecutor(len(self._hosts)) as pool:
            list(pool.map(_pipe, self._hosts, scripts))


def _pipe(host: Host, script: str) -> None:
    done = subprocess.run(
        [*host.ssh_argv(), "bash"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    if done.returncode != 0:
        raise LabError(f"the script on {host.name}: {done.stderr.strip()[-300:]}")


def script_of(wished: Wish) -> str:
    """Write the whole script for a machine."""
    servers = wished.servers
    folders = [names.drop_in_dir(s.unit.partition("@")[0], s.instance.instance_id) for s in servers]
    parts = [
        _HEAD,
        f"wants={names.WANTS_DIR}",
        f"units=({' '.join(wished.units)})",
        f"mkdir -p {names.ENV_DIR} {' '.join(folders)} {' '.join(s.path for s in servers)}",
        *_owners(servers),
        _put("", TEMPLATE.mode, TEMPLATE.path, TEMPLATE.content),
    ]
    for server in servers:
        parts += [_put(server.unit, f.mode, f.path, f.content) for f in server.plain_files]
    return "\n".join((*parts, _TAIL))


def _owners(servers: Iterable[Server]) -> list[str]:
    """Look at all directories by one stat, and put right what is not its user's."""
    wanted = [f"{s.path} {s.user} {names.DIRECTORY_MODE:o}" for s in servers]
    paths = " ".join(s.path for s in servers)
    return [
        f"wanted=({' '.join(shlex.quote(line) for line in wanted)})",
        "at=0",
        "while IFS= read -r line; do",
        '  if [ "$line" != "${wanted[at]}" ]; then set -- ${wanted[at]};'
        ' chown "$2:$2" "$1"; chmod "$3" "$1"; fi; at=$((at + 1))',
        f"done < <(stat -c '%n %U %a' {paths})",
    ]


def _put(unit: str, mode: int, path: str, content: str) -> str:
    """Write one file; the quoted here-document takes every character as it is."""
    mask = f"{0o777 & ~mode:03o}"
    if content.endswith("\n"):
        return f"put '{unit}' {mask} {path} <<'--end--'\n{content}--end--"
    return f"put '{unit}' {mask} {path} < <(printf %s {shlex.quote(content)})"
