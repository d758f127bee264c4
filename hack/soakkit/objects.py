"""What is declared: a game of a dozen words, the machines, and instances by their slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from soakkit.api import PREFIX

Object = dict[str, Any]
API = "warlock.dev/v1alpha1"
NAMESPACE = "soak"
GUID = "7c0d2a34-51be-4b8e-8c55-736f616b2121"
SERVICE = "warlock-soak"
ROOT = "/srv"
SAVE = "save.dat"
_FIRST_PORT = 28000
_PORTS_EACH = 10

# One process that holds its port: a second one beside it could not.
_PROGRAM = (
    "import signal,socket,sys;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);"
    "s.bind(('0.0.0.0',int(sys.argv[1])));signal.pause()"
)

GAME: Object = {
    "apiVersion": API,
    "kind": "Game",
    "metadata": {"name": "soak"},
    "spec": {
        "guid": GUID,
        "title": "Soak",
        "install": {"none": {}},
        "services": [
            {
                "name": SERVICE,
                "exec": ["/usr/bin/python3", "-I", "-S", "-c", _PROGRAM, "${PORT_GAME}"],
            }
        ],
        "variables": [{"name": "REVISION", "default": "0", "description": "Which edit this is."}],
        "ports": [{"name": "game", "protocol": "UDP"}],
    },
}


@dataclass
class Wish:
    """One instance as people want it now; its slot makes its host and names."""

    slot: int
    per_host: int
    revision: int = 0
    port_number: int = 0
    stopped: bool = False

    @property
    def host(self) -> int:
        """The number of its machine."""
        return self.slot // self.per_host

    @property
    def name(self) -> str:
        """Its GameInstance's name."""
        return f"soak-{self.slot:03d}"

    @property
    def path(self) -> str:
        """Its directory."""
        return f"{ROOT}/{self.name}"

    @property
    def instance_id(self) -> str:
        """Its id on the machine."""
        return f"736f616b-2121-4000-8000-{self.slot:012x}"

    @property
    def port(self) -> int:
        """Its port's number: of ten that are its own."""
        return _FIRST_PORT + self.slot * _PORTS_EACH + self.port_number

    @property
    def url(self) -> str:
        """Where its object is."""
        return f"{INSTANCES}/{self.name}"

    def spec(self) -> Object:
        """Give what may be edited."""
        return {
            "ports": [{"name": "game", "port": self.port}],
            "env": [{"name": "REVISION", "value": str(self.revision)}],
            "state": "Stopped" if self.stopped else "Running",
        }

    def manifest(self, host: str) -> Object:
        """Give its GameInstance."""
        fixed = {
            "guid": GUID, "host": host, "instance_id": self.instance_id, "path": self.path,
        }  # fmt: skip
        return {
            "apiVersion": API,
            "kind": "GameInstance",
            "metadata": {"name": self.name, "namespace": NAMESPACE},
            "spec": {**fixed, **self.spec()},
        }

    def edit_port(self, value: int) -> None:
        """Take another of its ports."""
        self.port_number = (self.port_number + 1 + value % (_PORTS_EACH - 1)) % _PORTS_EACH


INSTANCES = f"{PREFIX}/namespaces/{NAMESPACE}/gameinstances"


def namespace() -> Object:
    """Where the instances are."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
