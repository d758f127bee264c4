"""What there is for the weather to befall: machines, operator, cluster, declared instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from demokit.operator import Operator
from labkit.cgroups import Group
from labkit.cluster import Cluster
from labkit.host import Host
from soakkit.api import Api
from soakkit.objects import INSTANCES, Object, Wish
from soakkit.weather import Weather


@dataclass
class World:
    """All that weather can reach."""

    lab: str
    cluster: Cluster
    api: Api
    operator: Operator
    hosts: list[Host]
    per_host: int
    wishes: list[Wish] = field(default_factory=list)

    def host_of(self, weather: Weather) -> Host:
        """Give the machine that it befalls."""
        return self.hosts[weather.host]

    def wish_of(self, weather: Weather) -> Wish:
        """Give the instance that it befalls."""
        return self.wishes[weather.slot]

    def create(self, wish: Wish) -> None:
        """Make the instance's object."""
        self.api.create(INSTANCES, wish.manifest(self.hosts[wish.host].name))

    def edit(self, wish: Wish) -> None:
        """Write what may be edited into the instance's object."""
        self.api.patch(wish.url, {"spec": wish.spec()})

    def annotate(self, wish: Wish, key: str, value: str | None) -> None:
        """Set ``warlock.dev/<key>``; None takes it off."""
        annotations: Object = {f"warlock.dev/{key}": value}
        self.api.patch(wish.url, {"metadata": {"annotations": annotations}})

    def agents(self, host: Host) -> list[int]:
        """Give the agents on a machine, as process ids of this one."""
        return [pid for pid in Group(self.lab, f"host-{host.name}").processes() if _is_agent(pid)]


def _is_agent(pid: int) -> bool:
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"python" in line.split(b"\0")[0] and b".pyz\0serve\0" in line
