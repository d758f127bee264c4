"""
The managed files of an instance, byte for byte. Pure: a Game and an instance in, contents out.

Nothing that a tenant writes reaches a unit file but the instance's id and path, whose characters
the API bounds; every other string of a tenant is a quoted value in the environment file. Words of
the Game's ``exec`` come from the admin and are quoted so that systemd reads them literally, but
for ``${NAME}``.

Source: systemd.exec(5) "EnvironmentFile=", systemd.service(5) "COMMAND LINES", systemd.unit(5)
"SPECIFIERS".
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from . import names
from .model import DesiredGame, DesiredInstance, DesiredService

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:=+,@-]+")

DIGEST_VARIABLE = "WARLOCK_DIGEST"

TEMPLATE = (
    names.MARKER
    + """
# What runs, as whom and where stands in each instance's drop-in.
[Unit]
Description=Game server %p (%i)
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/bin/false

[Install]
WantedBy=multi-user.target
"""
)
"""The template unit. Depends on neither Game nor instance: a neighbour's restart reads it too."""

SANDBOX = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native x86
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0027
"""
"""What every instance may not do. 32-bit programs are let in: Steam's servers are."""


@dataclass(frozen=True)
class ManagedFile:
    """
    A file as it should be. kind: ``File`` (content) or ``Link`` (content is the target).

    unit_file: systemd must re-read its files for it to count.
    """

    path: str
    kind: str
    content: str
    mode: int
    unit_file: bool

    @property
    def digest(self) -> str:
        """What :class:`~.model.ObservedFile` shows as digest when it is as it should be."""
        return self.content if self.kind == "Link" else text_digest(self.content)


def text_digest(text: str) -> str:
    """Give the sha256 of *text* in UTF-8, hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def quote_environment(value: str) -> str:
    """Quote *value* for an environment file, so that systemd reads back exactly it."""
    return '"' + re.sub(r'([\\"`$])', r"\\\1", value) + '"'


def quote_word(word: str) -> str:
    """Quote one word of a command line: literal for systemd but for ``${NAME}``."""
    if _PLAIN_WORD.fullmatch(word):
        return word
    pieces: list[str] = []
    at = 0
    for match in _REFERENCE.finditer(word):
        pieces.append(_literal(word[at : match.start()]))
        pieces.append(match.group())
        at = match.end()
    pieces.append(_literal(word[at:]))
    return '"' + "".join(pieces) + '"'


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return escaped.replace("%", "%%").replace("$", "$$")


def environment_of(instance: DesiredInstance) -> dict[str, str]:
    """Give the variables of an instance's processes but the digest, in no particular order."""
    made = dict(instance.env)
    made.update((names.port_variable(port.name), str(port.number)) for port in instance.ports)
    made.update(
        HOME=instance.path,
        WARLOCK_GUID=instance.guid,
        WARLOCK_INSTANCE_ID=instance.instance_id,
        WARLOCK_PATH=instance.path,
    )
    return made


def start_digest(instance: DesiredInstance, game: DesiredGame, user: str, restart: str) -> str:
    """
    Digest all that needs a restart to take effect; stands in the process's environment.

    A new display name, stop signal or sandbox does not restart a server with players on it: those
    count from the next start on. *restart* is in it, so a restart that was asked for is due
    exactly until a process runs that was started after it.
    """
    lines = [f"{name}={value}" for name, value in sorted(environment_of(instance).items())]
    for service in game.services:
        lines += [service.name, *service.exec, ""]
    return text_digest("\n".join(("1", user, restart, *lines)))[:32]


def environment_file(instance: DesiredInstance, digest: str) -> str:
    """Write the environment file; one variable a line, sorted."""
    variables = environment_of(instance)
    variables["WARLOCK_INSTANCE_NAME"] = instance.instance_name
    variables[DIGEST_VARIABLE] = digest
    lines = [f"{name}={quote_environment(value)}\n" for name, value in sorted(variables.items())]
    return names.MARKER + "\n" + "".join(lines)


def drop_in(instance: DesiredInstance, service: DesiredService, user: str) -> str:
    """Write the drop-in that makes the template this instance."""
    path = instance.path.replace("%", "%%")
    command = " ".join(quote_word(word) for word in service.exec)
    return (
        f"{names.MARKER}\n"
        "[Unit]\n"
        "StartLimitIntervalSec=60\n"
        "StartLimitBurst=5\n"
        "\n"
        "[Service]\n"
        "Type=exec\n"
        f"User={user}\n"
        f"Group={user}\n"
        f"WorkingDirectory={path}\n"
        f"EnvironmentFile={names.env_path(instance.guid, instance.instance_id)}\n"
        "ExecStart=\n"
        f"ExecStart={command}\n"
        "Restart=always\n"
        "RestartSec=1\n"
        f"KillSignal={service.stop_signal}\n"
        f"TimeoutStopSec={service.stop_timeout_seconds}\n"
        f"{_home_protection(path)}"
        f"ReadWritePaths={path}\n"
        f"{SANDBOX}"
    )


def _home_protection(path: str) -> str:
    # An instance that lives in a home sees its own directory there and nothing else.
    if path.startswith(("/home/", "/root/", "/run/user/")):
        return f"ProtectHome=tmpfs\nBindPaths={path}\n"
    return "ProtectHome=yes\n"


def template_file(service: DesiredService) -> ManagedFile:
    """Give the template unit that all instances of a service share."""
    return ManagedFile(names.template_path(service.name), "File", TEMPLATE, 0o644, True)


def managed_files(
    instance: DesiredInstance, game: DesiredGame, user: str, digest: str
) -> tuple[ManagedFile, ...]:
    """
    Give every file of an instance, the shared templates included, sorted by path.

    Args:
        instance: its ``running`` decides whether the units are enabled.
        game: its services.
        user: the instance's system user.
        digest: of :func:`start_digest`.
    """
    guid, instance_id = instance.guid, instance.instance_id
    made = [
        ManagedFile(
            names.env_path(guid, instance_id),
            "File",
            environment_file(instance, digest),
            0o600,
            False,
        ),
        ManagedFile(
            names.registration_path(guid, instance_id), "File", instance.path, 0o644, False
        ),
    ]
    for service in game.services:
        made.append(template_file(service))
        made.append(
            ManagedFile(
                names.drop_in_path(service.name, instance_id),
                "File",
                drop_in(instance, service, user),
                0o644,
                True,
            )
        )
        if instance.running:
            made.append(
                ManagedFile(
                    names.wants_path(service.name, instance_id),
                    "Link",
                    names.template_path(service.name),
                    0o777,
                    True,
                )
            )
    return tuple(sorted(made, key=lambda file: file.path))
