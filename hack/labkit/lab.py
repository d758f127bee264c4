"""
One lab: a control plane and hosts. This is what tests and the demo import.

    lab = up("e2e", hosts=2, preinstalled=True)
    lab.hosts["host-a"].run(["systemctl", "is-system-running"])
    lab.down()

Everything here may be done again: what is there stays, what is missing is made.
"""

from __future__ import annotations

import shutil
import string
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from labkit import argocd as argocd_programs
from labkit import (
    binaries,
    disks,
    images,
    locks,
    machine,
    mounts,
    network,
    paths,
    progress,
    redis,
    state,
    sysctl,
)
from labkit.cgroups import Group
from labkit.cluster import Cluster
from labkit.container import Container
from labkit.errors import LabError, NoSuchLab
from labkit.gitops import ArgoCD
from labkit.host import Host, make_key
from labkit.kind import KindCluster
from labkit.state import ClusterKind, HostKind, HostState, LabState
from labkit.vm import VirtualMachine


class Lab:
    """A lab that is there; get one from ``up`` or ``load``."""

    def __init__(self, found: LabState) -> None:
        self.name = found.name
        self.state = found
        self.folder = paths.lab_folder(found.name)
        self.cluster = _cluster(found, self.folder)
        self.argocd = _argocd(found, self.cluster, self.folder)
        self.hosts: dict[str, Host] = {
            name: _host(found, host, self.folder) for name, host in sorted(found.hosts.items())
        }

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; raises LabError where the lab has no cluster."""
        if self.cluster is None:
            raise LabError(f"lab {self.name} was made without a cluster")
        return self.cluster.kubeconfig

    def add_host(
        self,
        name: str,
        *,
        suite: str = "bookworm",
        preinstalled: bool = False,
        kind: HostKind = "container",
        wait: bool = True,
        progress_to: progress.Callback = progress.silent,
    ) -> Host:
        """Add a host, or start the one of that name; with *wait*, return when its sshd answers."""
        paths.checked_name(name, "host")
        with locks.held(f"lab-{self.name}"):
            return self._add_host(name, suite, preinstalled, kind, wait, progress_to)

    def add_argocd(self, progress_to: progress.Callback = progress.silent) -> ArgoCD:
        """
        Add Argo CD, or start what of it does not run; it loads ``manifests/argo-cd`` anew.

        Raises:
            LabError: the lab's cluster is not of its own processes.
        """
        with locks.held(f"lab-{self.name}"):
            return self._add_argocd(progress_to)

    def remove_host(self, name: str) -> None:
        """Remove a host with every trace; absent is fine."""
        with locks.held(f"lab-{self.name}"):
            self._refresh()
            host = self.hosts.pop(name, None)
            if host:
                host.remove()
                del self.state.hosts[name]
                self.save()

    def down(self) -> None:
        """Remove the lab with every trace; the cache stays."""
        down(self.name)

    def save(self) -> None:
        """Write the lab's JSON file."""
        derived: dict[str, object] = {"folder": str(self.folder)}
        derived["gateway"] = network.gateway(self.state.subnet)
        derived["client_key"] = str(self.folder / "client_key")
        if self.cluster:
            derived["kubeconfig"] = str(self.cluster.kubeconfig)
            derived["kubectl"] = str(self.cluster.kubectl)
        if isinstance(self.cluster, Cluster):
            derived |= {
                "server": self.cluster.server,
                "etcd_url": self.cluster.etcd_url,
                "audit_log": str(self.cluster.audit_log),
            }
        if self.argocd:
            derived["argocd_repository"] = self.argocd.repository_url
            derived["argocd_metrics"] = self.argocd.metrics_url
        hosts = {name: host.describe() for name, host in self.hosts.items() if host.finished}
        state.write(self.state, derived, hosts)

    def _add_host(
        self,
        name: str,
        suite: str,
        preinstalled: bool,
        kind: HostKind,
        wait: bool,
        tell: progress.Callback,
    ) -> Host:
        if suite not in images.SUITES:
            raise LabError(f"suite {suite!r}: one of {', '.join(images.SUITES)}")
        machine.provide(tell, containers=kind == "container", machines=kind == "vm")
        host_of = _host_maker(kind, suite, preinstalled, tell)
        self._refresh()
        found = self.state.hosts.get(name)
        if found is None:
            number = _free_number(self.state)
            found = HostState(name, number, kind, suite, preinstalled, state.machine_id())
            self.state.hosts[name] = found
            state.write(self.state, {}, {})  # before anything is made: down must find it
        sysctl.raise_limit()
        network.up(self.state.subnet)
        if not (self.folder / "client_key.pub").exists():
            make_key(self.folder / "client_key", f"lab {self.name}")
        host = host_of(self.state, found, self.folder)
        if not host.running:
            host.prepare()
            host.power_on(wait=False)
        self.hosts[name] = host
        self.save()
        if wait:
            host.wait_ready()
        return host

    def _add_argocd(self, tell: progress.Callback) -> ArgoCD:
        if not isinstance(self.cluster, Cluster):
            raise LabError("Argo CD runs beside a cluster of the lab's own processes alone")
        _ready_argocd_tools(tell)
        self._refresh()
        self.state.argocd = True
        self.argocd = ArgoCD(self.state, self.folder / "argocd", self.cluster)
        self.save()  # before anything is made: the next up must find it
        with progress.step("Argo CD", tell) as step:
            self.argocd.start()
            step.detail = self.argocd.repository_url
        return self.argocd

    def _refresh(self) -> None:
        """Read the state again: another process may have added a host."""
        fresh = Lab(state.read(self.name))
        self.state, self.hosts, self.argocd = fresh.state, fresh.hosts, fresh.argocd


def up(
    name: str = "default",
    hosts: int = 2,
    suite: str = "bookworm",
    *,
    preinstalled: bool = False,
    vm: bool = False,
    cluster: ClusterKind = "local",
    argocd: bool = False,
    progress_to: progress.Callback = progress.silent,
) -> Lab:
    """
    Make or finish the lab *name*: control plane, and hosts ``host-a``, ``host-b`` ...

    A lab that is there keeps the hosts it has; missing ones are added, stopped ones started.

    Raises:
        CannotCarry: this machine lacks something; says what to do.
        LabError: a part did not come up; says where its log is.
    """
    machine.check()
    if not 0 <= hosts <= network.HOSTS:
        raise LabError(f"{hosts} hosts: 0 to {network.HOSTS}")
    folder = paths.lab_folder(name)
    with locks.held(f"lab-{name}"):
        machine.provide(progress_to, containers=hosts > 0 and not vm, machines=hosts > 0 and vm)
        _ready_cluster_tools(cluster, progress_to)
        if argocd and cluster == "local":
            _ready_argocd_tools(progress_to)
        kind: HostKind = "vm" if vm else "container"
        if hosts:
            _host_maker(kind, suite, preinstalled, progress_to)
        try:
            found = state.read(name)
        except NoSuchLab:
            folder.mkdir(parents=True, exist_ok=True)
            found = state.allocate(name, cluster)
        lab = Lab(found)
        _start_cluster(lab, progress_to)
        if argocd or found.argocd:
            lab._add_argocd(progress_to)
            found = lab.state
        # Those that are there too: one may have been left half-made.
        for host_name in sorted({*found.hosts, *(_host_name(number) for number in range(hosts))}):
            with progress.step(f"host {host_name}", progress_to) as step:
                kept = found.hosts.get(host_name)
                values = (kept.suite, kept.preinstalled, kept.kind) if kept else None
                chosen = values or (suite, preinstalled, kind)
                host = lab._add_host(host_name, *chosen, False, progress_to)
                step.detail = f"{host.address} {host.state.suite} {host.state.kind}"
        if lab.hosts:
            with progress.step("sshd answers on every host", progress_to):
                for host in lab.hosts.values():
                    host.power_on()
        lab.save()
    return lab


def load(name: str = "default") -> Lab:
    """Return the lab *name* as it is, started or not; raises NoSuchLab."""
    return Lab(state.read(name))


def down(name: str = "default", progress_to: progress.Callback = progress.silent) -> None:
    """Remove the lab *name* with every trace; absent or half-made is fine."""
    machine.check()
    folder = paths.lab_folder(name)
    with locks.held(f"lab-{name}"):
        with progress.step(f"lab {name} goes", progress_to):
            try:
                found: LabState | None = state.read(name)
            except NoSuchLab:
                found = None
            if found and found.cluster == "kind":
                KindCluster(found, folder / "cluster").remove()
            Group(name).kill()
            mounts.unmount_below(folder)
            if found:
                for host in Lab(found).hosts.values():
                    host.remove()
                network.down(found.subnet)
            if folder.exists():
                _remove_folder(folder)
        sysctl.restore_limit()
    _remove_top_groups()


def _remove_folder(folder: Path) -> None:
    """Remove the lab's folder; its state goes last, or an interrupted down forgets the rest."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    shutil.rmtree(folder)


def _remove_top_groups() -> None:
    """Remove the groups above the labs where they are empty; a build or a lab keeps them."""
    for top in (Group("build"), Group()):
        for folder in top.folders:
            with suppress(OSError):
                folder.rmdir()


def _start_cluster(lab: Lab, tell: progress.Callback) -> None:
    if lab.cluster:
        with progress.step("control plane", tell) as step:
            lab.cluster.start()
            step.detail = lab.cluster.server
        lab.save()


def _ready_cluster_tools(kind: ClusterKind, tell: progress.Callback) -> None:
    if kind == "local":
        binaries.control_plane(tell)
    elif kind == "kind":
        KindCluster.check()


def _ready_argocd_tools(tell: progress.Callback) -> None:
    machine.provide_git(tell)
    argocd_programs.programs(tell)
    redis.program(tell)


def _argocd(found: LabState, cluster: Cluster | KindCluster | None, folder: Path) -> ArgoCD | None:
    if not found.argocd or not isinstance(cluster, Cluster):
        return None
    return ArgoCD(found, folder / "argocd", cluster)


def _cluster(found: LabState, folder: Path) -> Cluster | KindCluster | None:
    if found.cluster == "none":
        return None
    if found.cluster == "kind":
        return KindCluster(found, folder / "cluster")
    return Cluster(found, folder / "cluster", binaries.expected())


def _host_maker(
    kind: HostKind, suite: str, preinstalled: bool, tell: progress.Callback
) -> Callable[[LabState, HostState, Path], Host]:
    """Return what makes a host of that kind, with its image built."""
    if kind == "vm":
        disk = disks.disk(suite, preinstalled, tell)
        return lambda lab, host, folder: VirtualMachine(lab, host, folder, disk)
    image = images.container(suite, preinstalled, tell)
    return lambda lab, host, folder: Container(lab, host, folder, image)


def _host(lab: LabState, host: HostState, folder: Path) -> Host:
    """Return a host that is there, with the image it was made from."""
    return (VirtualMachine if host.kind == "vm" else Container)(lab, host, folder)


def _host_name(number: int) -> str:
    """Return host-a to host-z, then host-27 and on."""
    letters = string.ascii_lowercase
    return f"host-{letters[number] if number < len(letters) else number + 1}"


def _free_number(found: LabState) -> int:
    taken = {host.number for host in found.hosts.values()}
    free = [number for number in range(network.HOSTS) if number not in taken]
    if not free:
        raise LabError(f"lab {found.name} has all its {network.HOSTS} hosts")
    return free[0]
