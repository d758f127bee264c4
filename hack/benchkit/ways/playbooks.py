"""What Ansible's playbook and pyinfra's deploy are given: a wish in plain values."""

from __future__ import annotations

from typing import Any

from benchkit.workload import TEMPLATE, Server, Wish
from warlock_agent import names


def plain(wished: Wish) -> dict[str, Any]:
    """Say a wish as both want to read it."""
    directories = [
        {"path": s.path, "owner": s.user, "mode": f"{names.DIRECTORY_MODE:o}"}
        for s in wished.servers
    ]
    directories += [
        {"path": _file(s, ".conf")["path"].rpartition("/")[0], "owner": "root", "mode": "755"}
        for s in wished.servers
    ]
    return {
        "template": {"path": TEMPLATE.path, "content": TEMPLATE.content},
        "env_dir": names.ENV_DIR,
        "directories": directories,
        "units": wished.units,
        "servers": [
            {
                "unit": server.unit,
                "drop_in": _file(server, ".conf"),
                "env": _file(server, ".env"),
                "app": _file(server, ".app"),
            }
            for server in wished.servers
        ],
    }


def _file(server: Server, ending: str) -> dict[str, str]:
    (found,) = (file for file in server.plain_files if file.path.endswith(ending))
    return {"path": found.path, "content": found.content}
