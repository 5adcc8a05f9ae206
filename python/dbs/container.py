"""The only place that talks to the native module: containers, from Python's side."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import _native

#: Media type of a Django backup.
TAR = "application/x-tar"


class KDFParams(NamedTuple):
    """What deriving a key from the passphrase costs (Argon2id). More costs an attacker more."""

    #: Passes.
    time_cost: int = 3
    #: KiB of memory.
    memory_cost: int = 65536
    #: Lanes.
    parallelism: int = 4


@dataclass(frozen=True)
class WriterOptions:
    """How a container is laid out."""

    profile: str = "standard"
    compress: bool = True
    level: int = 3
    kdf: tuple[int, int, int] | None = None
    threads: int | None = None


class Writer:
    """Writes a tar payload into a container; forgets it if it is left without `finish`."""

    def __init__(
        self, target: Any, passphrase: str | bytes, options: WriterOptions, producer: str
    ) -> None:
        self._native = _native.Writer(
            target,
            passphrase,
            profile=options.profile,
            level=options.level if options.compress else 0,
            kdf=options.kdf,
            threads=options.threads,
            media_type=TAR,
            producer=producer,
        )
        self.write = self._native.write
        self.entry = self._native.entry

    def finish(self) -> None:
        self._native.finish()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        self._native.close()


def open_archive(source: Any, *replicas: Any) -> _native.Archive:
    """Opens a container, with further copies of it: paths, bytes, or binary files."""
    return _native.open(source, *replicas)


def validate(source: Any, passphrase: str | bytes | None = None) -> _native.Report:
    return open_archive(source).validate(passphrase)


def read_back(source: Any, passphrase: str | bytes) -> _native.Report:
    """Validates what was just written: what the disk holds, not what the system remembers."""
    return _native.open(source, uncached=True).validate(passphrase)


class Ranges(io.RawIOBase):
    """A payload, from `start` on, as a file that can seek."""

    def __init__(self, payload: Any, start: int = 0) -> None:
        self._payload = payload
        self._start = start
        self._length = len(payload) - start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._payload.read_at(self._start + self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def seekable(payload: Any) -> io.BufferedReader:
    return io.BufferedReader(Ranges(payload), 1 << 20)


def size_of(file: Any) -> int:
    position = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(position)
    return end


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str], overwrite: bool = False) -> Iterator[Any]:
    """A file that appears under its name complete and synced, or not at all.

    Where the system can do it (Linux, O_TMPFILE), the file has no name until it is finished, so
    that even a killed process leaves nothing behind. Elsewhere it is a ``.part`` file beside the
    target, removed on any error.
    """
    path = os.path.abspath(os.fspath(path))
    directory = os.path.dirname(path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "File exists; choose another name or allow overwriting", path)
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, "There is no such directory", directory)
    fd = None
    part = os.path.join(directory, f".{os.path.basename(path)}.{secrets.token_hex(4)}.part")
    named = False
    if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    if fd is None:
        try:
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            # Of the directory: nobody knows the file that is tried.
            raise OSError(error.errno, error.strerror, directory) from None
        named = True
    try:
        with os.fdopen(fd, "w+b", buffering=0) as file:
            with naming(path):
                yield file
            os.fsync(file.fileno())
            if not named:
                # Naming a directory makes Python use linkat(), which follows the link in /proc.
                os.link(
                    f"/proc/self/fd/{file.fileno()}",
                    path if not overwrite else part,
                    src_dir_fd=file.fileno(),
                    follow_symlinks=True,
                )
                named = overwrite
        if named:
            if overwrite:
                os.replace(part, path)
            else:
                os.link(part, path)
                os.unlink(part)
            named = False
        _sync_directory(directory)
    finally:
        if named:
            with contextlib.suppress(OSError):
                os.unlink(part)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """A full or failing disk is said with the file that it is about, which writing does not know."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _OF_THE_DISK:
            error.filename = path
        raise


_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


def _sync_directory(directory: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
