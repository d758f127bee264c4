"""
Where things of an instance lie on a host, and what they are called. Pure.

The registration's name and content are Warlock's own contract; the rest is ours.
"""

from __future__ import annotations

import hashlib

from .model import DEFAULT_INSTANCE

STATE_DIR = "/var/lib/warlock"
LEDGER_DIR = "/var/lib/warlock/ledger"
AGENT_DIR = "/var/lib/warlock/agent"
RUN_DIR = "/run/warlock"
ENV_DIR = "/etc/warlock/instances"
UNIT_DIR = "/etc/systemd/system"
WANTS_DIR = "/etc/systemd/system/multi-user.target.wants"
FOREIGN_UNIT_DIRS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/system")
DROP_IN = "50-warlock.conf"
MARKER_FILE = ".warlock-instance"
MARKER = "# Managed by Warlock Operator: changes are put back."
DIRECTORY_MODE = 0o750


def user_name(guid: str, instance_id: str) -> str:
    """Name the system user of an instance: ``wl-`` and 16 hex digits (Linux refuses over 32)."""
    return "wl-" + hashlib.sha256(f"{guid}/{instance_id}".encode()).hexdigest()[:16]


def unit_name(service: str, instance_id: str) -> str:
    """Name the unit of one service of an instance."""
    return f"{service}@{instance_id}.service"


def instance_of(unit: str) -> str:
    """Give the instance id in the name of a unit that :func:`unit_name` made."""
    return unit.partition("@")[2].rpartition(".")[0]


def template_path(service: str) -> str:
    """Where our template unit lies."""
    return f"{UNIT_DIR}/{service}@.service"


def foreign_template_paths(service: str) -> tuple[str, ...]:
    """Where somebody else's template of that name would lie."""
    return tuple(f"{directory}/{service}@.service" for directory in FOREIGN_UNIT_DIRS)


def shadow_path(service: str, instance_id: str) -> str:
    """Where a hand-made unit would shadow the template for this instance."""
    return f"{UNIT_DIR}/{unit_name(service, instance_id)}"


def drop_in_dir(service: str, instance_id: str) -> str:
    """Directory of the instance's drop-in."""
    return f"{UNIT_DIR}/{unit_name(service, instance_id)}.d"


def drop_in_path(service: str, instance_id: str) -> str:
    """The instance's drop-in."""
    return f"{drop_in_dir(service, instance_id)}/{DROP_IN}"


def wants_path(service: str, instance_id: str) -> str:
    """The link that enables the unit."""
    return f"{WANTS_DIR}/{unit_name(service, instance_id)}"


def env_path(guid: str, instance_id: str) -> str:
    """The instance's environment file."""
    return f"{ENV_DIR}/{guid}.{instance_id}.env"


def registration_path(guid: str, instance_id: str) -> str:
    """Warlock's registration: ``default`` never stands in the file's name."""
    if instance_id == DEFAULT_INSTANCE:
        return f"{STATE_DIR}/{guid}.app"
    return f"{STATE_DIR}/{guid}.{instance_id}.app"


def marker_text(guid: str, instance_id: str) -> str:
    """First line of the marker file in an instance's directory."""
    return f"{guid}.{instance_id}"


def port_variable(name: str) -> str:
    """Name the variable that carries a port: ``PORT_GAME`` for ``game``."""
    return "PORT_" + "".join(c if c.isalnum() and c.isascii() else "_" for c in name).upper()


def install_operation(guid: str, apt: tuple[str, ...], mask: tuple[str, ...]) -> str:
    """Name the operation that installs a Game's packages; the same packages, the same name."""
    text = "\n".join((*sorted(apt), "", *sorted(mask)))
    return f"install-{guid}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
