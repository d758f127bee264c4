"""
What must be refused, and what the refusal must say: one row a manifest.

The rows are put to the real apiserver and to the operator's own models, which must agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.unit.api.objects import ABSENT, Manifest, changed, sample

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

UUID = "lower-case UUID, such as 550e8400-"
PATH = "absolute path such as /opt/openarena-2"
SYSTEM = "use one such as /srv"
PRINTABLE = "printable text in one line"
ADDRESS = "IP address in its usual form or a DNS name"
REFERENCE = "name or the address of a GameHost"
HOST_KEY = "public host key as 'type base64'"
VARIABLE = "name of an environment variable"
RESERVED = "choose another name"
PORT_NAME = "such as game or rcon"
ONCE = "Duplicate value"
SERVICE = "such as warlock-openarena"
PROGRAM = "absolute path, such as /usr/games/server"
REFERENCES = "use $ only as ${NAME}"
PACKAGE = "name of a Debian package"
UNIT = "name of a systemd unit with its suffix"
SOURCE = "exactly one source: packages, or none: {}"
USER = "name of a user"


@dataclass(frozen=True)
class Refused:
    """A sample of *kind* with one field changed, and a fragment of what the apiserver says."""

    kind: str
    path: str
    value: object
    says: str

    @property
    def manifest(self) -> Manifest:
        """The spoilt manifest."""
        return changed(sample(self.kind), self.path, self.value)

    def __str__(self) -> str:
        value = "absent" if self.value is ABSENT else ascii(self.value)
        return f"{self.kind} {self.path} {value[:40]}"


def _rows(kind: str, path: str, says: str, *values: object) -> list[Refused]:
    return [Refused(kind, path, value, says) for value in values]


# One of each kind of character that means something to a shell, a unit file, a URL or a terminal.
_META = (";", "|", "&", "$(id)", "`id`", ">", "*", "?", "~", "'", '"', "\\", "%", " ", "\t", "\n")

_INSTANCE = [
    *_rows(
        "GameInstance",
        "spec.guid",
        UUID,
        "",
        "openarena",
        "6C1F5A0E-5A0B-4D57-9F0E-6F6F70656E61",
        "6c1f5a0e5a0b4d579f0e6f6f70656e61",
        "{6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61}",
        "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e6",
        "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61\n",
        "6c1f5a0e-5a0b-4d57-9f0e-6f6f70656e61.app",
    ),
    *_rows("GameInstance", "spec.guid", "Required value", ABSENT),
    *_rows("GameInstance", "spec.guid", "must be of type string", 7),
    *_rows("GameInstance", "spec.host", "Required value", ABSENT),
    *_rows(
        "GameInstance",
        "spec.host",
        REFERENCE,
        "",
        "Host-A",
        "host_a",
        "-host",
        "host-",
        "root@host-a",
        "host-a:22",
        "ssh://host-a",
        "host/a",
        "2001:DB8::1",
        "::ffff:198.18.1.1",
        *(f"host{meta}" for meta in _META),
    ),
    *_rows("GameInstance", "spec.host", "may not be more than 253", "h" * 254),
    *_rows(
        "GameInstance",
        "spec.instance_id",
        UUID,
        "",
        "Default",
        "2",
        "550E8400-E29B-41D4-A716-446655440000",
        "550e8400-e29b-41d4-a716-44665544000g",
        "../550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-446655440000;id",
        "default\n",
    ),
    *_rows("GameInstance", "spec.instance_name", "at least 1 char", ""),
    *_rows(
        "GameInstance",
        "spec.instance_name",
        PRINTABLE,
        "two\nlines",
        "a\ttab",
        "bell\x07",
        "del\x7f",
        "next\x85line",
        "csi\x9b31m",
        "\u202egpj.exe",
        "zero\u200bwidth",
        "line\u2028separator",
        "\U000e0041tag",
        "no\ufffecharacter",
        "\ufdd0",
        "\U0010ffff",
    ),
    *_rows("GameInstance", "spec.instance_name", "may not be more than 128", "n" * 129),
    *_rows(
        "GameInstance",
        "spec.path",
        PATH,
        "",
        "/",
        "opt/openarena",
        "./openarena",
        "~/openarena",
        "/opt/../etc",
        "/opt/..",
        "/opt/./x",
        "/opt//x",
        "/opt/x/",
        *(f"/opt/x{meta}" for meta in _META),
        "/opt/\u00e4",
        "/opt/\u2215etc",
    ),
    *_rows("GameInstance", "spec.path", "at most 255 characters", "/opt/" + "x" * 256),
    *_rows("GameInstance", "spec.path", "may not be more than 1024", "/opt" + "/abcdefg" * 128),
    *_rows("GameInstance", "spec.path", SYSTEM, "/etc/openarena", "/proc", "/var/lib/warlock/x"),
    *_rows("GameInstance", "spec.ports.0.port", "greater than or equal to 1", 0, -1),
    *_rows("GameInstance", "spec.ports.0.port", "less than or equal to 65535", 65536),
    *_rows("GameInstance", "spec.ports.0.port", "must be of type integer", "27961", 1.5, True),
    *_rows(
        "GameInstance", "spec.ports.0.name", PORT_NAME, "", "Game", "game_2", "1st", "a;b", "g" * 33
    ),
    *_rows("GameInstance", "spec.ports", "Required value", [{"port": 27960}]),
    *_rows("GameInstance", "spec.ports", ONCE, [{"name": "game"}, {"name": "game"}]),
    *_rows(
        "GameInstance",
        "spec.ports",
        "once for UDP and once for TCP",
        [{"name": name, "port": 27960} for name in "abc"],
    ),
    *_rows(
        "GameInstance",
        "spec.ports",
        "at most 16 items",
        [{"name": f"p{number}"} for number in range(17)],
    ),
    *_rows(
        "GameInstance", "spec.env.0.name", VARIABLE, "", "1ST", "A-B", "A B", "A=B", "A\n", "V" * 65
    ),
    *_rows(
        "GameInstance",
        "spec.env.0.name",
        RESERVED,
        "PATH",
        "HOME",
        "LD_PRELOAD",
        "PORT_GAME",
        "WARLOCK_DIGEST",
    ),
    *_rows(
        "GameInstance",
        "spec.env.0.value",
        PRINTABLE,
        "a\nLD_PRELOAD=/tmp/x",
        "a\rb",
        "\x1b[2J",
        "\u2066x",
        "\ufeffbom",
    ),
    *_rows("GameInstance", "spec.env.0.value", "may not be more than 1024", "v" * 1025),
    *_rows("GameInstance", "spec.env", ONCE, [{"name": "MAP"}, {"name": "MAP"}]),
    *_rows(
        "GameInstance",
        "spec.env",
        "at most 64 items",
        [{"name": f"V{number}"} for number in range(65)],
    ),
    *_rows(
        "GameInstance",
        "spec.env",
        "not have values of more than 8192 characters",
        [{"name": f"V{number}", "value": "v" * 1000} for number in range(9)],
        [{"name": f"V{number}", "value": "\U0001f3ae" * 911} for number in range(9)],
    ),
    *_rows("GameInstance", "spec.state", 'supported values: "Running", "Stopped"', "running", ""),
]

_HOST = [
    *_rows("GameHost", "spec.address", "Required value", ABSENT),
    *_rows(
        "GameHost",
        "spec.address",
        ADDRESS,
        "",
        "999.1.1.1",
        "198.18.1.1:22",
        "198.018.1.1",
        "host a",
        "root@host",
        "Host.example.org",
        "host;reboot",
        "-oProxyCommand=x",
        "fe80::1%eth0",
        "[2001:db8::1]",
        "2001:db8:0::1",
        "under_score.example",
        "a..b",
    ),
    *_rows(
        "GameHost",
        "spec.address",
        "63 characters between two dots",
        f"{'a' * 64}.example",
        "a" * 64,
    ),
    *_rows("GameHost", "spec.ssh", "Required value", ABSENT),
    *_rows("GameHost", "spec.ssh.port", "less than or equal to 65535", 65536),
    *_rows("GameHost", "spec.ssh.port", "greater than or equal to 1", 0),
    *_rows("GameHost", "spec.ssh.user", USER, "", "Root", "-l", "a b", "root;id", "u" * 33),
    *_rows("GameHost", "spec.ssh.become", 'supported values: "None", "Sudo"', "sudo"),
    *_rows("GameHost", "spec.ssh.keySecret", "Required value", ABSENT, {}),
    *_rows("GameHost", "spec.ssh.keySecret.name", "name of an object", "", "Key", "ns/key"),
    *_rows("GameHost", "spec.ssh.hostKeyPolicy", '"TrustOnFirstUse"', "None", "Ignore"),
    *_rows("GameHost", "spec.ssh.hostKeys", "where hostKeyPolicy is Pinned", ABSENT, []),
    *_rows(
        "GameHost",
        "spec.ssh.hostKeys.0",
        HOST_KEY,
        "",
        KEY,
        f"198.18.1.1 ssh-ed25519 {KEY}",
        f"ssh-ed25519 {KEY} root@a",
        "ssh-ed25519 AAAA",
        f"ssh-dss {KEY}",
        f"ssh-rsa {KEY}",
        "SHA256:jXbMvI5l9yU5E4TEEJ0QnS3Qk1ZbS0fY0XQ9uZbVbXk",
    ),
    *_rows("GameHost", "spec.ports", "Required value", ABSENT, {}),
    *_rows("GameHost", "spec.ports.ranges", "at least 1 items", []),
    *_rows("GameHost", "spec.ports.ranges.0.to", "write the lower number as from", 27959),
    *_rows("GameHost", "spec.ports.ranges.0.to", "Required value", ABSENT),
    *_rows("GameHost", "spec.ports.ranges.0.to", "less than or equal to 65535", 70000),
    *_rows("GameHost", "spec.ports.ranges.0.from", "greater than or equal to 1", 0),
    *_rows("GameHost", "spec.ports.reserved", ONCE, [28000, 28000]),
    *_rows("GameHost", "spec.ports.reserved", "at most 256 items", list(range(1, 258))),
    *_rows("GameHost", "spec.pathRoots", "at least 1 items", []),
    *_rows("GameHost", "spec.pathRoots", ONCE, ["/opt", "/opt"]),
    *_rows("GameHost", "spec.pathRoots.0", PATH, "/", "srv", "/srv/../etc", "/srv/", "/s;v", ""),
    *_rows("GameHost", "spec.pathRoots.0", SYSTEM, "/etc", "/proc/1", "/var/lib/warlock"),
    *_rows(
        "GameHost",
        "spec.namespaceSelector",
        "In and NotIn need values",
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
    ),
    *_rows(
        "GameHost",
        "spec.namespaceSelector",
        "a label's name has 1 to 317 characters",
        {"matchLabels": {"": "a"}},
        {"matchLabels": {"k" * 318: "a"}},
    ),
    *_rows("GameHost", "spec.unschedulable", "must be of type boolean", "yes"),
]

_GAME = [
    *_rows("Game", "spec.guid", UUID, "openarena", "6C1F5A0E-5A0B-4D57-9F0E-6F6F70656E61"),
    *_rows("Game", "metadata.name", "at most 63 characters", "g" * 64),
    *_rows("Game", "spec.title", PRINTABLE, "Open\nArena"),
    *_rows("Game", "spec.manager", 'supported values: "Native"', "Warlock", "Unit", "native"),
    *_rows("Game", "spec.install", "Required value", ABSENT),
    *_rows(
        "Game", "spec.install", SOURCE, {}, {"packages": {"apt": ["openarena-server"]}, "none": {}}
    ),
    *_rows("Game", "spec.install.packages.apt", "at least 1 items", []),
    *_rows("Game", "spec.install.packages.apt", ONCE, ["a1", "a1"]),
    *_rows(
        "Game",
        "spec.install.packages.apt.0",
        PACKAGE,
        "",
        "OpenArena",
        "openssh-server-",
        "bash+",
        "--purge",
        "./local.deb",
        "a b",
        "a;b",
        "vim=2",
        "vim/stable",
    ),
    *_rows(
        "Game",
        "spec.install.packages.mask.0",
        UNIT,
        "openarena-server",
        "../x.service",
        "a b.service",
    ),
    *_rows("Game", "spec.services", "Required value", ABSENT),
    *_rows("Game", "spec.services", "at least 1 items", []),
    *_rows(
        "Game",
        "spec.services.0.name",
        SERVICE,
        "",
        "arena@",
        "arena.service",
        "a/b",
        "a b",
        "-a",
        "s" * 65,
    ),
    *_rows("Game", "spec.services.0.exec", "at least 1 items", []),
    *_rows(
        "Game",
        "spec.services.0.exec.0",
        PROGRAM,
        "openarena-server",
        "./server",
        "-/bin/true",
        "/usr/../bin/sh",
        "${HOME}/server",
        "",
        "/usr/games/a b",
    ),
    *_rows(
        "Game",
        "spec.services.0.exec.1",
        REFERENCES,
        "$HOME",
        "$",
        "${}",
        "${A B}",
        "$(id)",
        "${A",
        "$$",
    ),
    *_rows("Game", "spec.services.0.exec.1", PRINTABLE, "a\nExecStartPre=/bin/x", "\x00"),
    *_rows("Game", "spec.services.0.exec", "at most 64 items", ["/bin/x"] * 65),
    *_rows("Game", "spec.services.0.stop.signal", '"SIGINT"', "INT", "SIGSTOP", "9"),
    *_rows("Game", "spec.services.0.stop.timeoutSeconds", "greater than or equal to 1", 0),
    *_rows("Game", "spec.services.0.stop.timeoutSeconds", "less than or equal to 3600", 3601),
    *_rows(
        "Game", "spec.variables.0.name", RESERVED, "PORT_GAME", "WARLOCK_X", "LD_X", "PATH", "HOME"
    ),
    *_rows("Game", "spec.variables.0.name", VARIABLE, "A-B", ""),
    *_rows("Game", "spec.variables.0.pattern", "error parsing regexp", "([", "(?=x)", "*", "a)|(b"),
    *_rows("Game", "spec.variables.0.pattern", "may not be more than 256", "a" * 257),
    *_rows("Game", "spec.variables.0.default", "match the variable's own pattern", "a+b", "a;b"),
    *_rows("Game", "spec.variables.0.default", PRINTABLE, "a\nb"),
    *_rows("Game", "spec.variables", ONCE, [{"name": "A"}, {"name": "A"}]),
    *_rows("Game", "spec.ports.0.protocol", 'supported values: "UDP", "TCP"', "udp", "SCTP"),
    *_rows("Game", "spec.ports.0.default", "less than or equal to 65535", 99999),
    *_rows("Game", "spec.ports", ONCE, [{"name": "game"}, {"name": "game"}]),
    *_rows(
        "Game",
        "spec.ports",
        "give each port its own",
        [{"name": "game", "default": 1}, {"name": "b", "protocol": "UDP", "default": 1}],
    ),
    *_rows("Game", "spec.query.protocol", '"Quake3"', "quake3", "Gopher"),
    *_rows("Game", "spec.query.port", "must name one of spec.ports", "rcon"),
    *_rows("Game", "spec.query.port", "must name the port of the Game", ABSENT),
]

REFUSED: tuple[Refused, ...] = (*_INSTANCE, *_HOST, *_GAME)
