"""
Files of the host: read, replaced and removed without ever following a link on the way.

A path is walked component by component from an opened directory (``openat``, ``O_NOFOLLOW``), so
nothing that a tenant plants beneath a directory of its own redirects us. A new content goes into a
temporary file beside its target and takes its place by rename. Called by ledger, registration,
observe and apply.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional

MAX_READ_BYTES = 16 * 1024 * 1024
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_REGULAR = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp", re.DOTALL)
_FSYNC_EACH = 3  # up to so many files, an fsync each is cheaper than one sync of the file system


_BATCH = 250  # two descriptors each, and a soft limit of 1024 is usual


def read_regular(path: str, limit_bytes: int = MAX_READ_BYTES, follow: bool = False) -> bytes:
    """
    Read one of the machine's or our own files, in a directory where only root writes.

    follow: the path itself may be a link, as /etc/os-release is.

    Raises:
        OSError: also where it is a FIFO, a device, a directory or larger; it never waits.
    """
    descriptor = os.open(path, _REGULAR & ~os.O_NOFOLLOW if follow else _REGULAR)
    with os.fdopen(descriptor, "rb", buffering=0):
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        try:
            return _read_up_to(path, descriptor, limit_bytes)
        except FileError as error:
            raise OSError(error.errno, error.text, path) from error


class FileError(Exception):
    """What the system refused. path: as the caller gave it; errno: of :mod:`errno`, or 0."""

    def __init__(self, path: str, number: int, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path
        self.errno = number
        self.text = text


@dataclass(frozen=True)
class Signature:
    """Enough of a stat to say "the same content as before" without reading it."""

    device: int
    inode: int
    size: int
    mtime_nsec: int
    ctime_nsec: int
    mode: int
    uid: int
    gid: int

    @property
    def kind(self) -> str:
        """``File``, ``Link``, ``Directory`` or ``Other``."""
        return _KINDS.get(stat.S_IFMT(self.mode), "Other")

    @property
    def permissions(self) -> int:
        """The permission bits."""
        return stat.S_IMODE(self.mode)


_KINDS = {stat.S_IFREG: "File", stat.S_IFLNK: "Link", stat.S_IFDIR: "Directory"}


@dataclass(frozen=True)
class NewFile:
    """A file to be written. uid and gid: -1 leaves it to the creating process's."""

    path: str
    data: bytes
    mode: int = 0o644
    uid: int = -1
    gid: int = -1


class Tree:
    """
    The files beneath *root*; paths are absolute within it.

    Every method raises FileError. trusted: a leading part of the path that the admin chose (a path
    root such as ``/opt``) and that may hence be reached through links; behind it none is followed.
    """

    def __init__(self, root: str = "/") -> None:
        """*root* itself may be reached through links."""
        self._root = root

    # --- reading ---

    def signature(self, path: str, trusted: str = "/") -> Optional[Signature]:
        """Give the signature of what is at *path*, not of what it links to; None if nothing is."""
        try:
            with self._parent(path, trusted) as (directory, name):
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:  # also ENOTDIR: a link on the way is not "nothing there"
            raise _file_error(path, error) from error
        return _signature(found)

    def read(self, path: str, limit_bytes: int = MAX_READ_BYTES, trusted: str = "/") -> bytes:
        """Read a regular file. A FIFO, a device, a link or a larger file is an error."""
        with _errors(path), self._parent(path, trusted) as (directory, name):
            descriptor = os.open(name, _REGULAR, dir_fd=directory)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise FileError(path, 0, "not a regular file")
                if found.st_size > limit_bytes:
                    raise FileError(path, errno.EFBIG, f"larger than {limit_bytes} bytes")
                return _read_up_to(path, file.fileno(), limit_bytes)

    def digest(self, path: str, limit_bytes: int = MAX_READ_BYTES, trusted: str = "/") -> str:
        """Give the sha256 of a regular file's content, in hex."""
        return hashlib.sha256(self.read(path, limit_bytes, trusted)).hexdigest()

    def read_link(self, path: str, trusted: str = "/") -> str:
        """Give a symbolic link's target."""
        with _errors(path), self._parent(path, trusted) as (directory, name):
            return os.readlink(name, dir_fd=directory)

    def names(self, path: str, trusted: str = "/") -> list[str]:
        """List a directory, sorted."""
        with _errors(path), self._directory(path, trusted) as directory:
            return sorted(os.listdir(directory))

    def some_names(self, path: str, limit: int, trusted: str = "/") -> list[str]:
        """List *limit* of what is in a directory, or all where there is less; in no order."""
        with (
            _errors(path),
            self._directory(path, trusted) as directory,
            os.scandir(directory) as entries,
        ):
            return [entry.name for entry in itertools.islice(entries, limit)]

    # --- writing ---

    def write(self, file: NewFile, durable: bool = False, trusted: str = "/") -> None:
        """
        Replace a file atomically; it is old or new, never half.

        durable: the rename itself survives a power cut as well (one more fsync).
        """
        (failed,) = self.write_many((file,), trusted)
        if failed is not None:
            raise failed
        if durable:
            with _errors(file.path), self._parent(file.path, trusted) as (directory, _):
                os.fsync(directory)

    def write_many(self, files: Sequence[NewFile], trusted: str = "/") -> list[Optional[FileError]]:
        """
        Replace many files: all are written, then synced at once, then renamed.

        Returns:
            None or what went wrong, a file, in order. One that fails does not keep back the others.
        """
        results: list[Optional[FileError]] = []
        for start in range(0, len(files), _BATCH):
            results.extend(self._write_batch(files[start : start + _BATCH], trusted))
        return results

    def _write_batch(self, files: Sequence[NewFile], trusted: str) -> list[Optional[FileError]]:
        results: list[Optional[FileError]] = [None] * len(files)
        with contextlib.ExitStack() as stack:
            written: list[tuple[int, _Temporary]] = []
            parents: dict[str, int] = {}  # opened once for all files in them
            for index, file in enumerate(files):
                try:
                    written.append((index, self._begin(file, trusted, parents, stack)))
                except FileError as error:
                    results[index] = error
            unsynced = _sync([temporary for _, temporary in written])
            for index, temporary in written:
                try:
                    if unsynced is not None:
                        raise unsynced
                    temporary.commit()
                except OSError as error:
                    results[index] = _file_error(files[index].path, error)
        return results

    def _begin(
        self, file: NewFile, trusted: str, parents: dict[str, int], stack: contextlib.ExitStack
    ) -> _Temporary:
        """Write a file beside its target; it goes with *stack* unless it is committed."""
        with _errors(file.path):
            above, name = _split(file.path)
            if above not in parents:
                parents[above] = stack.enter_context(self._directory(above, trusted))
            temporary = _Temporary(parents[above], name, file)
        stack.callback(temporary.close)
        return temporary

    def link(self, path: str, target: str, trusted: str = "/") -> None:
        """Make a symbolic link, or replace whatever file or link is there, atomically."""
        with _errors(path), self._parent(path, trusted) as (directory, name):
            temporary = _temporary_name(name)
            os.symlink(target, temporary, dir_fd=directory)
            try:
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                os.unlink(temporary, dir_fd=directory)
                raise

    def remove(self, path: str, trusted: str = "/") -> bool:
        """Remove a file or link; true if there was one."""
        with _errors(path), self._gone_is_fine(), self._parent(path, trusted) as (directory, name):
            os.unlink(name, dir_fd=directory)
            return True
        return False

    def remove_directory(self, path: str, trusted: str = "/") -> bool:
        """
        Remove a directory if it is empty; true if it is gone now, false if it has entries.

        What a writer left that was killed before its rename is no entry.
        """
        try:
            with _errors(path), self._gone_is_fine(), self._parent(path, trusted) as (above, name):
                _sweep(name, above)
                os.rmdir(name, dir_fd=above)
        except FileError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        return True

    def make_directory(
        self, path: str, mode: int = 0o755, uid: int = -1, gid: int = -1, trusted: str = "/"
    ) -> bool:
        """
        Make a directory, and the missing ones above it (0755, ours); set its owner and mode.

        Returns:
            True if it was not there before.
        """
        with _errors(path):
            parent, name = _split(path)
            with self._directory(parent, trusted, make=True) as above:
                made = _make(name, above)
                descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
                try:
                    _own(descriptor, mode, uid, gid)
                finally:
                    os.close(descriptor)
        return made

    # --- walking ---

    @contextlib.contextmanager
    def _parent(self, path: str, trusted: str) -> Iterator[tuple[int, str]]:
        """Open the directory that holds *path*; give it and the last component."""
        above, name = _split(path)
        with self._directory(above, trusted) as directory:
            yield directory, name

    @contextlib.contextmanager
    def _directory(self, path: str, trusted: str, make: bool = False) -> Iterator[int]:
        """Open a directory, walking from the root (or behind *trusted*) without following links."""
        start, rest = self._root, _components(path)
        anchor = _components(trusted)
        if anchor and rest[: len(anchor)] == anchor:
            start, rest = os.path.join(self._root, *anchor), rest[len(anchor) :]
        descriptor = os.open(start, _DIRECTORY)
        try:
            for component in rest:
                if make:
                    _make(component, descriptor)
                below = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    @contextlib.contextmanager
    def _gone_is_fine() -> Iterator[None]:
        with contextlib.suppress(FileNotFoundError):
            yield


class _Temporary:
    """A written file that waits for its rename."""

    def __init__(self, directory: int, name: str, file: NewFile) -> None:
        self._directory, self._name = directory, name
        self._temporary = _temporary_name(name)
        self.descriptor = os.open(self._temporary, _CREATE, 0o600, dir_fd=directory)
        try:
            _write_all(self.descriptor, file.data)
            _own(self.descriptor, file.mode, file.uid, file.gid)
        except OSError:
            self.close()
            raise

    def commit(self) -> None:
        """Take the target's place."""
        os.rename(
            self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory
        )
        self._temporary = ""

    def close(self) -> None:
        """Close, and remove what was not committed."""
        os.close(self.descriptor)
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._directory)


def _sync(files: Sequence[_Temporary]) -> Optional[OSError]:
    """Bring contents to the disk before any rename shows them; give what went wrong."""
    one_a_device = {os.fstat(file.descriptor).st_dev: file.descriptor for file in files}
    try:
        if len(files) <= _FSYNC_EACH:
            for file in files:
                os.fsync(file.descriptor)
        else:
            for descriptor in one_a_device.values():
                _sync_file_system(descriptor)
    except OSError as error:
        return error
    return None


def _sync_file_system(descriptor: int) -> None:
    """syncfs(2), which Python's os does not have; without a C library that does, sync(2)."""
    import ctypes  # 3 ms that only a batch pays

    try:
        failed = ctypes.CDLL(None, use_errno=True).syncfs(descriptor)
    except (OSError, AttributeError):
        os.sync()
        return
    if failed:
        raise OSError(ctypes.get_errno(), "cannot sync the file system")


@contextlib.contextmanager
def _errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _file_error(path, error) from error


def _file_error(path: str, error: OSError) -> FileError:
    return FileError(path, error.errno or 0, error.strerror or str(error))


def _components(path: str) -> list[str]:
    """Cut an absolute, normal path into its components."""
    if not path.startswith("/") or "\0" in path:
        raise FileError(path, errno.EINVAL, "not an absolute path")
    components = [part for part in path.split("/") if part]
    if "." in components or ".." in components:
        raise FileError(path, errno.EINVAL, "has . or .. in it")
    return components


def _split(path: str) -> tuple[str, str]:
    """Cut off the last component."""
    components = _components(path)
    if not components:
        raise FileError(path, errno.EINVAL, "names no file")
    return "/" + "/".join(components[:-1]), components[-1]


def _temporary_name(name: str) -> str:
    """Name a file that systemd, apt and people take for none of theirs; unique in its directory."""
    return f".{name[:200]}.{os.urandom(6).hex()}.tmp"


def _sweep(name: str, above: int) -> None:
    """Remove temporary files from a directory that is about to go."""
    descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        for entry in os.listdir(descriptor):
            if _TEMPORARY.fullmatch(entry):
                os.unlink(entry, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_up_to(path: str, descriptor: int, limit_bytes: int) -> bytes:
    """Read to the end; the size at the begin is no promise."""
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = os.read(descriptor, 1024 * 1024)
        if not chunk:
            return b"".join(chunks)
        size += len(chunk)
        if size > limit_bytes:
            raise FileError(path, errno.EFBIG, f"larger than {limit_bytes} bytes")
        chunks.append(chunk)


def _own(descriptor: int, mode: int, uid: int, gid: int) -> None:
    """Owner first: chown clears set-id bits, and must not give away what chmod just opened."""
    if uid >= 0 or gid >= 0:
        os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, mode)


def _make(name: str, above: int) -> bool:
    """Make one directory; true if it was not there."""
    try:
        os.mkdir(name, 0o755, dir_fd=above)
    except FileExistsError:
        return False
    return True


def _signature(found: os.stat_result) -> Signature:
    return Signature(
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_mode,
        found.st_uid,
        found.st_gid,
    )
