"""
A host as a systemd-nspawn container: its own systemd, sshd, network and root overlay.

The machine that carries it need not run systemd. nspawn is started in a cgroup of its own and
asked to keep to it; when it exits with 133 the host wants a reboot and is started again.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from labkit import mounts, network
from labkit.cgroups import Group
from labkit.commands import attempt, clean_environment, run
from labkit.errors import LabError
from labkit.host import Host
from labkit.images import Image
from labkit.state import HostState, LabState

# Each boot gets fresh cgroups: nspawn and the systemd inside leave theirs behind. So does
# a newer nspawn (257) with a mount, and refuses to start while it is there.
_LOOP = """
groups=
while [ "$1" != -- ]; do groups="$groups $1"; shift; done
shift
while :; do
    umount "$EXPORT" 2>/dev/null; rmdir "$EXPORT" 2>/dev/null
    for group in $groups; do
        [ ! -d "$group/boot" ] || find "$group/boot" -depth -type d -exec rmdir {} +
        mkdir -p "$group/boot"
    done
    (
        for group in $groups; do echo 0 >"$group/boot/cgroup.procs" || exit 70; done
        exec "$@"
    )
    code=$?
    [ $code = 133 ] || exit $code
done
"""
_CAPABILITIES = "CAP_NET_ADMIN,CAP_SYSLOG,CAP_IPC_LOCK"


class Container(Host):
    """A systemd-nspawn host."""

    def __init__(
        self, lab: LabState, state: HostState, lab_folder: Path, image: Image | None = None
    ) -> None:
        super().__init__(lab, state, lab_folder)
        self._machine = f"warlock-{lab.name}-{state.name}"
        self._export = Path("/run/systemd/nspawn/unix-export") / self._machine
        self._image_file = self.folder / "image"
        self._image = image

    @property
    def root(self) -> Path:
        """The root file system: the mounted overlay."""
        return self.folder / "root"

    @property
    def inside(self) -> Path | None:
        """The root with what is mounted inside; None while the machine is off."""
        leader = self._leader()
        return Path(f"/proc/{leader}/root") if leader else None

    def prepare(self) -> None:
        """Make keys, overlay and the files that make the host this one; again is harmless."""
        assert self._image, "prepared with its image"
        self._make_key()
        if not (self.finished and all(Path(part).exists() for part in self._image_parts())):
            self._make_disk(self._image)
        self._mount()
        _personalise(self)
        self._finish()

    def power_on(self, *, wait: bool = True) -> None:
        """Start the container if it does not run."""
        if not self.running:
            self._group.remove()
            self._mount()
            space = network.plug_container(self._lab.subnet, self.state.number, self.name)
            environment = clean_environment(SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1")
            environment["EXPORT"] = str(self._export)
            environment["SYSTEMD_NSPAWN_LOCK"] = "0"  # after a machine's crash it would linger
            folders = [str(folder) for folder in self._group.folders]
            loop = ["sh", "-c", _LOOP, "sh", *folders, "--", *self._nspawn(space)]
            log = self.folder / "console.log"
            Group(self._lab.name, f"host-{self.name}", "loop").spawn(loop, log, environment)
        if wait:
            self.wait_ready()

    def remove(self) -> None:
        """Power off, and remove mounts, network and folder."""
        self.power_off()
        network.unplug_container(self._lab.subnet, self.state.number, self.name)
        for point in (self._export, self.root):
            mounts.unmount_below(point)
        propagated = Path("/run/systemd/nspawn/propagate") / self._machine
        for trace in (self._export, propagated, self.folder):
            if trace.exists():
                shutil.rmtree(trace)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: str = "",
        limit_seconds: float = 120.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside, by its namespaces and not by its network."""
        leader = self._leader()
        if leader is None:
            gone = subprocess.CompletedProcess(list(argv), 255, "", f"{self.name} is off")
            return self._checked(gone, argv, check)
        enter = ["nsenter", "--target", str(leader), "--all", "--wd=/root"]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        plain = ["env", "-i", f"PATH={path}", "HOME=/root", "USER=root", "LANG=C.UTF-8"]
        done = attempt(*enter, *plain, *argv, stdin=stdin, limit_seconds=limit_seconds)
        return self._checked(done, argv, check)

    def _boot(self) -> str:
        # From outside: a process that enters a machine going down makes it wait for that.
        return str(self._leader() or "")

    def _leader(self) -> int | None:
        """Return the process id of the host's PID 1, None where there is none."""
        for pid in self._group.processes():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            spaces = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if spaces.split()[1:][1:] == ["1"]:
                return pid
        return None

    def _make_disk(self, image: Image) -> None:
        """Start with an empty overlay: what was written over other layers fits no more."""
        if self.root.is_mount():
            run("umount", self.root)
        for folder in (self.folder / "upper", self.folder / "work"):
            if folder.exists():
                shutil.rmtree(folder)
        parts = [image.archive, *image.layers]
        self._image_file.write_text("".join(f"{part}\n" for part in parts))

    def _image_parts(self) -> list[str]:
        """Return the archive and the layers that the disk was made from, topmost first."""
        try:
            return self._image_file.read_text().splitlines()
        except FileNotFoundError as error:
            raise LabError(f"{self.name} was never finished: run hack/lab up again") from error

    def _mount(self) -> None:
        """Mount the overlay over the image's layers, unless it is mounted."""
        if self.root.is_mount():
            return
        _, *layers = self._image_parts()
        upper, work = self.folder / "upper", self.folder / "work"
        for folder in (self.root, upper, work):
            folder.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={':'.join(layers)},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)

    def _nspawn(self, space: Path) -> list[str]:
        archive = self._image_parts()[0]
        return [
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
            *(f"--directory={self.root}", f"--machine={self._machine}"),
            *(f"--hostname={self.name}", f"--uuid={self.machine_id}"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            *(f"--capability={_CAPABILITIES}", f"--network-namespace-path={space}"),
            *(f"--bind-ro={archive}:/srv/apt", "--kill-signal=SIGRTMIN+3"),
            *("--console=read-only", "/lib/systemd/systemd"),
        ]


def _personalise(host: Container) -> None:
    """Write what makes the host different from its image."""
    root, key = host.root, (host.folder / "host_key").read_text()
    _write(root / "etc/machine-id", f"{host.machine_id}\n", 0o444)
    _write(root / "etc/hostname", f"{host.name}\n", 0o644)
    _write(root / "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n", 0o644)
    _write(root / "etc/ssh/ssh_host_ed25519_key", key, 0o600)
    _write(root / "etc/ssh/ssh_host_ed25519_key.pub", host.host_key + "\n", 0o644)
    client = host.client_key_path.with_suffix(".pub").read_text()
    for home in ("root", "home/warlock"):
        folder = root / home / ".ssh"
        owner = (root / home).stat()
        folder.mkdir(mode=0o700, exist_ok=True)
        _write(folder / "authorized_keys", client, 0o600)
        for path in (folder, folder / "authorized_keys"):
            shutil.chown(path, owner.st_uid, owner.st_gid)


def _write(file: Path, content: str, mode: int) -> None:
    file.unlink(missing_ok=True)
    file.write_text(content)
    file.chmod(mode)
