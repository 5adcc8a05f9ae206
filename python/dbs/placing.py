"""Files of a backup back to their places: staged first, moved after the database has committed.

Whatever a backup says, a file ends up inside the storage of its field, or inside a directory that
the project declares. Links are made last, and nothing is ever written through one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.core.exceptions import SuspiciousOperation
from django.core.files import File as DjangoFile
from django.core.files.storage import FileSystemStorage, default_storage

from . import conf
from .container import naming
from .events import File, Meta
from .exceptions import RestoreError
from .files import is_plain_storage, storage_aliases, unwrap
from .registry import BackupRegistry, ModelBackup
from .reports import RestoreReport
from .staging import DIRECTORY, FILE, LINK, STORED, Staged, Waiting
from .tarstream import pieces

STAGING = ".dbs-restore-"


def declared_roots(configs: Iterable[ModelBackup]) -> set[str]:
    """The directories that files may be restored to by the settings and these registrations."""
    roots: list[Any] = [*conf.restore_roots(), *conf.file_roots()]
    for config in configs:
        roots += config.file_roots
    media = unwrap(default_storage)
    if isinstance(media, FileSystemStorage):
        roots.append(media.location)
    return {os.path.realpath(root) for root in roots}


def real_place(path: str) -> str:
    """A path of which the directory, not the last part, is followed through links."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


class Placer:
    """Takes the files of one restore."""

    def __init__(
        self,
        report: RestoreReport,
        registry: BackupRegistry,
        path_map: dict[str, str],
        extra_roots: list[str],
        dry_run: bool,
    ) -> None:
        self.report = report
        self.path_map = sorted(path_map.items(), key=lambda item: -len(item[0]))
        self.dry_run = dry_run
        more = {os.path.realpath(root) for root in (*extra_roots, *path_map.values())}
        declared = declared_roots(dict(registry.items()).values())
        self.roots = sorted(declared | more, key=len, reverse=True)
        self.meta = Meta()
        self._staging: dict[str, tuple[str, int]] = {}
        self._waiting = Waiting()
        self._real = ("", "")
        self._remote_dir: Any = None
        self._storages: dict[str, Any] = {}
        self._number = 0
        self._link_targets: set[str] = set()

    # Where a file goes

    def relocate(self, path: str) -> str:
        """A path of the backup as this machine has it."""
        for old, new in self.path_map:
            old = old.rstrip("/")
            if path == old or path.startswith(old + "/"):
                return new.rstrip("/") + path[len(old) :]
        return path

    def _storage(self, file: File) -> tuple[str, Any]:
        """The storage of a file, and the name under which it is found again."""
        key = file.storage or ""
        name = f"{key}|{file.field if not key else ''}"
        if name not in self._storages:
            self._storages[name] = self._find_storage(file, key)
        return name, self._storages[name]

    def _find_storage(self, file: File, key: str) -> Any:
        labels = list(self.meta.storages.get(key, []))
        if not labels and file.field:
            labels = [file.field]
        for label in labels:
            model_label, _, field_name = label.rpartition(".")
            with contextlib.suppress(Exception):
                field = apps.get_model(model_label)._meta.get_field(field_name)
                return unwrap(field.storage)
        aliases = storage_aliases()
        if key in aliases:
            return aliases[key]
        raise RestoreError(
            f"{file.name} belongs to the storage {key or file.field!r}, which this project does "
            "not have. Add it to STORAGES, or restore without files."
        )

    def _place(self, file: File) -> tuple[str, str] | None:
        """The directory that confines a file and its path; None where the storage has no paths."""
        if file.kind == "storage":
            _, storage = self._storage(file)
            if not is_plain_storage(storage):
                return None
            try:
                return os.path.abspath(storage.location), storage.path(file.name)
            except (SuspiciousOperation, ValueError) as error:
                raise RestoreError(
                    f"{file.name!r} would be outside {storage.location}: refused."
                ) from error
        if "\0" in file.name:
            raise RestoreError(f"{file.name!r} is not a file name: refused.")
        if file.kind == "path":
            path = os.path.abspath(self.relocate(file.name))
        else:
            parts = file.name.split("/") if file.name else []
            if any(part in ("", ".", "..") for part in parts):
                raise RestoreError(f"{file.shown!r} would be outside its root: refused.")
            path = os.path.join(os.path.abspath(self.relocate(str(file.root))), *parts)
        real = os.path.join(self._real_directory(os.path.dirname(path)), os.path.basename(path))
        for root in self.roots:
            if real.startswith(root + os.sep) or os.path.realpath(path) == root:
                return root, path
        raise RestoreError(
            f"{path} is in none of the directories that files may be restored to. Allow its "
            f"directory with --restore-root {os.path.dirname(path)} (restore_roots=[...]) or in "
            "DBS_RESTORE_ROOTS, or move it elsewhere with --map OLD=NEW (path_map={OLD: NEW})."
        )

    def _real_directory(self, path: str) -> str:
        """A directory without links in it. Remembers the last one: files come by directory."""
        if self._real[0] != path:
            self._real = (path, os.path.realpath(path))
        return self._real[1]

    def _check(self, base: str, path: str, kind: str) -> None:
        parent = self._real_directory(os.path.dirname(path))
        root = os.path.realpath(base)
        inside = parent == root or parent.startswith(root.rstrip(os.sep) + os.sep)
        if not inside and os.path.realpath(path) != root:
            raise RestoreError(f"{path} would be reached through a link that leaves {base}: refused.")
        if kind == DIRECTORY:
            if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
                if os.path.realpath(path) != root:
                    raise RestoreError(f"{path} is in the way of a directory of the backup.")
        elif os.path.isdir(path) and not os.path.islink(path):
            raise RestoreError(f"{path} is a directory and in the way of a file of the backup.")

    # Taking files

    def take(self, file: File) -> None:
        """Stages one file; nothing of the project changes yet."""
        place = self._place(file)
        if file.type == LINK and place is not None:
            self._link_targets.add(place[1])
        if place is None:
            self._take_remote(file)
            return
        base, path = place
        self._check(base, path, file.type)
        exists = os.path.lexists(path)
        staged = Staged(file.type, base, path, "", file.mode, file.mtime_ns)
        if file.type == DIRECTORY:
            if not self.dry_run:
                self._waiting.add(staged)
            return
        if self.dry_run:
            size = sum(len(piece) for piece in pieces(file.stream)) if file.stream else 0
        else:
            directory = self._stage_directory(base)
            self._number += 1
            staged.staged = os.path.join(directory, str(self._number))
            size = self._write(staged.staged, file)
        if file.left_out is not None:
            if staged.staged:
                os.unlink(staged.staged)
            self.report.skipped.append(f"{file.shown}: not in the backup ({file.left_out})")
            return
        if not self.dry_run:
            self._waiting.add(staged)
        self._count(exists, size)

    def _count(self, exists: bool, size: int) -> None:
        if exists:
            self.report.files_replaced += 1
        else:
            self.report.files_written += 1
        self.report.file_bytes += size

    def _write(self, path: str, file: File) -> int:
        if file.type == LINK:
            os.symlink(file.target, path)
            _set_times(path, file.mtime_ns, follow=False)
            return 0
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        size = 0
        # What it is staged in is gone when the message is read: the directory around it is meant.
        around = os.path.dirname(os.path.dirname(path))
        with naming(around), os.fdopen(fd, "wb", buffering=0) as out:
            for piece in pieces(file.stream):
                view = memoryview(piece)
                while view:
                    view = view[out.write(view) :]
                size += len(piece)
            if file.mode is not None:
                os.fchmod(out.fileno(), stat.S_IMODE(file.mode) & 0o777)
            else:
                os.fchmod(out.fileno(), 0o644)
        _set_times(path, file.mtime_ns)
        return size

    def _take_remote(self, file: File) -> None:
        key, storage = self._storage(file)
        exists = storage.exists(file.name)
        if self.dry_run:
            size = sum(len(piece) for piece in pieces(file.stream))
        else:
            if self._remote_dir is None:
                self._remote_dir = tempfile.TemporaryDirectory(prefix="dbs-restore-")
            self._number += 1
            path = os.path.join(self._remote_dir.name, str(self._number))
            size = self._write(path, file)
            if file.left_out is None:
                self._waiting.add(Staged(STORED, key, file.name, path))
        if file.left_out is not None:
            self.report.skipped.append(f"{file.shown}: not in the backup ({file.left_out})")
            return
        self._count(exists, size)

    def _stage_directory(self, base: str) -> str:
        if base not in self._staging:
            os.makedirs(base, exist_ok=True)
            remove_stale(base)
            path = os.path.join(base, STAGING + secrets.token_hex(8))
            os.mkdir(path, 0o700)
            self._staging[base] = (path, _lock(os.path.join(path, "lock")))
        return self._staging[base][0]

    # The end

    def check_links(self) -> None:
        """No file of the backup may lie behind a link of the backup."""
        if not self._link_targets:
            return
        for staged in self._waiting.of(FILE, DIRECTORY, LINK):
            parent = os.path.dirname(staged.target)
            while len(parent) >= len(staged.base):
                if parent in self._link_targets:
                    raise RestoreError(f"{staged.target} lies behind a link of the backup: refused.")
                parent = os.path.dirname(parent)

    def commit(self) -> None:
        """Moves everything to its place. What cannot be moved is named, all else is moved."""
        failed = []
        self._real = ("", "")
        for staged in self._waiting.of(DIRECTORY):
            try:
                os.makedirs(staged.target, exist_ok=True)
            except OSError as error:
                failed.append(f"{staged.target}: {error.strerror}")
        made = ""
        for staged in self._waiting.of(FILE, LINK):
            try:
                parent = os.path.dirname(staged.target)
                if parent != made:
                    os.makedirs(parent, exist_ok=True)
                    made = parent
                self._check(staged.base, staged.target, staged.kind)
                os.replace(staged.staged, staged.target)
                if staged.kind == LINK:
                    self._real = ("", "")
            except (OSError, RestoreError) as error:
                failed.append(f"{staged.target}: {error}")
        # Deepest first, as a change inside a directory changes its time.
        for staged in self._waiting.of(DIRECTORY, deepest_first=True):
            try:
                if staged.mode is not None:
                    os.chmod(staged.target, stat.S_IMODE(staged.mode) & 0o777)
                _set_times(staged.target, staged.mtime_ns)
            except OSError as error:
                failed.append(f"{staged.target}: {error.strerror}")
        for staged in self._waiting.of(STORED):
            storage, name = self._storages[staged.base], staged.target
            try:
                if storage.exists(name):
                    storage.delete(name)
                with open(staged.staged, "rb") as source:
                    saved = storage.save(name, DjangoFile(source))
                if saved != name:
                    self.report.notes.append(f"The storage keeps {name} as {saved}.")
            except Exception as error:  # noqa: BLE001  Each storage has its own errors.
                failed.append(f"{name}: {error}")
        self.close()
        # The staging directory stood inside roots whose time has been set.
        if failed:
            raise RestoreError(
                "The rows are restored, and these files are not:\n  "
                + "\n  ".join(failed[:20])
                + "\nWhen the cause is gone, restore them with --no-data (data=False)."
            )

    def close(self) -> None:
        """Removes what is staged. Safe to call twice."""
        for path, lock in self._staging.values():
            times = _times(os.path.dirname(path))
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.close(lock)
            self._restore_root_time(os.path.dirname(path), times)
        self._staging.clear()
        if self._remote_dir is not None:
            self._remote_dir.cleanup()
            self._remote_dir = None
        self._waiting.close()

    def _restore_root_time(self, base: str, times: tuple[int, int] | None) -> None:
        if times is not None:
            with contextlib.suppress(OSError):
                os.utime(base, ns=times)


def _times(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_atime_ns, status.st_mtime_ns


def _set_times(path: str, mtime_ns: int | None, follow: bool = True) -> None:
    if mtime_ns is not None:
        with contextlib.suppress(OSError, OverflowError, NotImplementedError):
            os.utime(path, ns=(mtime_ns, mtime_ns), follow_symlinks=follow)


def _lock(path: str) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # pragma: no cover  Not on this system.
        pass
    except OSError:
        os.close(fd)
        raise
    return fd


def remove_stale(base: str) -> None:
    """Removes what a killed restore left staged. A running one holds its lock."""
    try:
        names = [name for name in os.listdir(base) if name.startswith(STAGING)]
    except OSError:
        return
    for name in names:
        path = os.path.join(base, name)
        if os.path.islink(path):
            continue
        with contextlib.suppress(OSError):
            os.close(_lock(os.path.join(path, "lock")))
            shutil.rmtree(path, ignore_errors=True)
