"""Files of a backup: those that rows name, and whole directories."""

from __future__ import annotations

import os
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from django.core.files.storage import FileSystemStorage, default_storage

from .tarstream import PIECE, Member, TarWriter

# Where files stand in the payload.
STORAGE = "files/storage/"
PATH = "files/path"
ROOT = "files/root/"

#: PAX records of a member.
NAME = "DBS.name"
FIELD = "DBS.field"

#: Files up to this size are read whole before their header is written.
WHOLE = 4 << 20


@dataclass(frozen=True)
class MissingFile:
    """A file that could not be read, and the row that names it."""

    name: str
    reason: str
    model: str | None = None
    pk: Any = None
    field: str | None = None

    def __str__(self) -> str:
        where = f" (named by {self.model} pk={self.pk} {self.field})" if self.model else ""
        return f"{self.name}: {self.reason}{where}"


def unwrap(storage: Any) -> Any:
    """The storage behind Django's lazy `default_storage`."""
    from django.utils.functional import LazyObject, empty

    if isinstance(storage, LazyObject):
        if storage._wrapped is empty:
            storage._setup()
        return storage._wrapped
    return storage


def storage_aliases() -> dict[str, Any]:
    from django.core.files.storage import storages

    found = {}
    for alias in storages.backends:
        if alias == "staticfiles":
            continue
        try:
            found[alias] = unwrap(storages[alias])
        except Exception:  # noqa: BLE001  An alias that cannot be built is nobody's here.
            continue
    return found


def storage_key(field: Any) -> str:
    """The name a storage has in the backup: its alias, or that of the first field using it."""
    storage = unwrap(field.storage)
    if storage is unwrap(default_storage):
        return "default"
    aliases = storage_aliases()
    for alias, candidate in aliases.items():
        if storage is candidate:
            return alias
    if isinstance(storage, FileSystemStorage):
        for alias, candidate in aliases.items():
            if (
                type(storage) is type(candidate)
                and storage.location == candidate.location
            ):
                return alias
    return field_label(field)


def is_plain_storage(storage: Any) -> bool:
    """Whether the files of a storage are plain files of this machine, under their own names.

    A subclass that opens or saves in a way of its own (compressed, encrypted) is used through
    its methods only.
    """
    storage = unwrap(storage)
    return (
        isinstance(storage, FileSystemStorage)
        and type(storage)._open is FileSystemStorage._open  # type: ignore[attr-defined]
        and type(storage)._save is FileSystemStorage._save  # type: ignore[attr-defined]
    )


def field_label(field: Any) -> str:
    return f"{field.model._meta.label_lower}.{field.name}"


def is_plain_name(name: str) -> bool:
    """Whether a name can stand in a tar path and mean the same file."""
    if not name or name.startswith("/") or "\\" in name or "\0" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


class References:
    """Which files rows name, each once, in the order first seen.

    Kept in a private temporary database of SQLite, which goes to disk by itself when it outgrows
    its cache, so that millions of names take no memory.
    """

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE ref (place TEXT, name BLOB, field TEXT, pk TEXT, "
            "UNIQUE (place, name)) STRICT"
            if sqlite3.sqlite_version_info >= (3, 37)
            else "CREATE TABLE ref (place TEXT, name BLOB, field TEXT, pk TEXT, "
            "UNIQUE (place, name))"
        )
        self._db.execute("BEGIN")

    def add(self, rows: Any) -> None:
        """Takes (place, name, field label, pk)."""
        self._db.executemany(
            "INSERT OR IGNORE INTO ref VALUES (?, ?, ?, ?)",
            (
                (place, name.encode("utf-8", "surrogatepass"), field, str(pk))
                for place, name, field, pk in rows
            ),
        )

    def __iter__(self) -> Iterator[tuple[str, str, str, str]]:
        for place, name, field, pk in self._db.execute(
            "SELECT place, name, field, pk FROM ref ORDER BY rowid"
        ):
            yield place, name.decode("utf-8", "surrogatepass"), field, pk

    def close(self) -> None:
        self._db.close()


class Missing(Exception):
    """A file cannot be read; the text is the reason."""


class Changed(Exception):
    """A file became shorter while it was read."""


def open_regular(path: Any) -> Any:
    """Opens a regular file; anything else (a FIFO would block for ever) is refused."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise Missing("does not exist") from None
    except (OSError, ValueError) as error:
        raise Missing(getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Missing("is not a regular file")
    return os.fdopen(fd, "rb", buffering=0)


class FileWriter:
    """Puts files into the payload, and keeps count."""

    def __init__(self, tar: TarWriter, now_ns: int) -> None:
        self.tar = tar
        self.now_ns = now_ns
        self.count = 0
        self.bytes = 0
        self.changed: list[str] = []
        self.notes: list[str] = []

    def local(self, member_name: str, path: Any, extra: dict[str, str] | None = None) -> None:
        """A file of the file system, with its mode and times."""
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            member = Member(
                member_name, status.st_size, status.st_mode, status.st_mtime_ns
            )
            if status.st_size <= WHOLE:
                data = _read_up_to(file, WHOLE + 1)
                after = os.fstat(file.fileno())
                if len(data) > WHOLE or (after.st_size, after.st_mtime_ns) != (
                    status.st_size,
                    status.st_mtime_ns,
                ):
                    # Caught in the middle of being written: read it once more.
                    file.seek(0)
                    status = os.fstat(file.fileno())
                    data = _read_up_to(file, status.st_size)
                    self.changed.append(os.fspath(path))
                member.size = len(data)
                member.mtime_ns = status.st_mtime_ns
                self.tar.add(member, [data] if data else [], extra)
            else:
                self.tar.add(member, self._large(file, status.st_size, path), extra)
                after = os.fstat(file.fileno())
                if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
                    self.changed.append(os.fspath(path))
        self.count += 1
        self.bytes += member.size

    def _large(self, file: Any, size: int, path: Any) -> Iterator[bytes]:
        left = size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise Changed(f"{os.fspath(path)} became shorter while it was read")
            left -= len(piece)
            yield piece

    def stored(
        self, member_name: str, storage: Any, name: str, extra: dict[str, str] | None = None
    ) -> None:
        """A file of any storage."""
        if is_plain_storage(storage):
            try:
                path = storage.path(name)
            except Exception as error:  # noqa: BLE001  SuspiciousFileOperation, ValueError, ...
                raise Missing(str(error) or type(error).__name__) from error
            self.local(member_name, path, extra)
            return
        try:
            size = storage.size(name)
            file = storage.open(name, "rb")
        except Exception as error:  # noqa: BLE001  Each storage has its own errors.
            raise Missing(str(error) or type(error).__name__) from error
        modified = self.now_ns
        try:
            modified = int(storage.get_modified_time(name).timestamp() * 10**6) * 1000
        except Exception:  # noqa: BLE001  Optional for a storage.
            pass
        with closing(file):
            self.tar.add(Member(member_name, size, 0o644, modified), self._exact(file, size, name), extra)
        self.count += 1
        self.bytes += size

    def _exact(self, file: Any, size: int, name: str) -> Iterator[bytes]:
        left = size
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise Changed(f"{name} is shorter than its storage says")
            left -= len(piece)
            yield piece

    def tree(self, prefix: str, root: Any) -> Iterator[MissingFile]:
        """A directory with all that is in it; links are kept as links and never followed.

        Yields what cannot be read; pipes, sockets and devices are left out with a note.
        """
        stack = [("", os.fspath(root))]
        while stack:
            relative, directory = stack.pop()
            try:
                status = os.stat(directory, follow_symlinks=not relative)
                entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
            except OSError as error:
                yield MissingFile(directory, error.strerror or str(error))
                continue
            self.tar.add(
                Member(
                    (prefix + "/" + relative).rstrip("/") + "/",
                    0,
                    status.st_mode,
                    status.st_mtime_ns,
                    tarfile.DIRTYPE,
                )
            )
            below = []
            for entry in entries:
                inner = f"{relative}/{entry.name}" if relative else entry.name
                member_name = f"{prefix}/{inner}"
                try:
                    if entry.is_symlink():
                        link = entry.stat(follow_symlinks=False)
                        self.tar.add(
                            Member(
                                member_name,
                                0,
                                0o777,
                                link.st_mtime_ns,
                                tarfile.SYMTYPE,
                                os.readlink(entry.path),
                            )
                        )
                    elif entry.is_dir(follow_symlinks=False):
                        below.append((inner, entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        self.local(member_name, entry.path)
                    else:
                        self.notes.append(
                            f"{entry.path} is a pipe, a socket or a device and was left out."
                        )
                except Missing as error:
                    yield MissingFile(entry.path, str(error))
                except OSError as error:
                    yield MissingFile(entry.path, error.strerror or str(error))
            stack.extend(reversed(below))


def _read_up_to(file: Any, limit: int) -> bytes:
    parts = []
    while limit > 0:
        part = file.read(limit)
        if not part:
            break
        parts.append(part)
        limit -= len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]
