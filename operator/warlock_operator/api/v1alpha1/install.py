"""How a game comes onto a machine: the sources, of which a Game has exactly one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from warlock_operator.api.rules import UNIQUE, Model, Rule, matches

# A trailing "-" or "+" would be an order to apt-get: remove, install.
PackageName = Annotated[
    str,
    Field(max_length=256),
    matches(
        "[a-z0-9][a-z0-9+.-]{0,126}[a-z0-9]",
        "must be the name of a Debian package, without version or architecture, "
        "such as openarena-server",
    ),
]

UnitName = Annotated[
    str,
    Field(max_length=256),
    matches(
        r"[A-Za-z0-9:_.@-]{1,240}\.(service|socket|timer|path|target)",
        "must be the name of a systemd unit with its suffix, such as openarena-server.service",
    ),
]


class Packages(Model):
    """Packages of the machine's distribution."""

    apt: Annotated[tuple[PackageName, ...], Field(min_length=1, max_length=64), UNIQUE] = Field(
        description="Debian packages to install, by name. They are shared by all instances on a "
        "machine and never removed."
    )
    mask: Annotated[tuple[UnitName, ...], Field(max_length=16), UNIQUE] = Field(
        default=(),
        description="Units that the packages would start by themselves. They are masked before "
        "the installation, so that none of them takes a port.",
    )


class NoInstall(Model):
    """Nothing to install: the program is on the machine already."""


class Install(Model):
    """How the game comes onto a machine: exactly one source."""

    rules = (
        Rule(
            cel="(has(self.packages) ? 1 : 0) + (has(self.none) ? 1 : 0) == 1",
            message="must have exactly one source: packages, or none: {} where the program is "
            "on the machine already",
            holds=lambda self: (self.packages is None) != (self.none is None),
        ),
    )

    packages: Packages | None = Field(
        default=None, description="Install packages of the machine's distribution."
    )
    none: NoInstall | None = Field(
        default=None,
        description="Install nothing: the program is on the machine already. Written as none: {}.",
    )
