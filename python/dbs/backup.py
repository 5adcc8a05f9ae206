"""Making a backup: rows and files of the project, as one tar, into one container."""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import secrets
import time
from typing import Any

import django
from django.db import connections

from . import __version__, conf, container
from .discovery import Scope, discover
from .dump import RowDumper
from .exceptions import BackupError, MissingFiles
from .files import (
    FIELD,
    NAME,
    PATH,
    ROOT,
    STORAGE,
    Changed,
    FileWriter,
    Missing,
    MissingFile,
    References,
    field_label,
    is_plain_name,
    storage_key,
)
from .natural import NaturalKeys
from .placing import declared_roots, real_place
from .registry import BackupRegistry
from .reports import BackupFile, BackupReport
from .secrecy import hides_passphrase
from .snapshot import snapshot
from .tarstream import META, SUMMARY, Member, TarWriter

#: Rows of one model are cut into members of about this many bytes, as a tar member needs its size
#: before its first byte.
PART = 8 << 20

FORMAT = 1
PRODUCER = f"django-dbs {__version__}"


@hides_passphrase
def create_backup(
    passphrase: str | bytes,
    output: str | os.PathLike[str] | None = None,
    **options: Any,
) -> bytes | BackupFile:
    """Backs up the project.

    With `output` the backup is streamed to that path and a `BackupFile` comes back, which
    `validate_backup`, `restore_backup` and `push_backup` take; a file of that name is replaced,
    when the new one is verified, unless ``overwrite=False``. Without, the whole backup comes back
    as bytes, which suits small projects.

    Options: see `write_backup`.
    """
    if output is not None:
        options.setdefault("overwrite", True)
        report = write_backup(output, passphrase, **options)
        return BackupFile(output, report)
    buffer = io.BytesIO()
    write_backup(buffer, passphrase, **options)
    return buffer.getvalue()


@hides_passphrase
def write_backup(
    target: Any,
    passphrase: str | bytes,
    *,
    using: str = "default",
    registry: BackupRegistry | None = None,
    models: Any = None,
    allow_missing_files: bool = False,
    profile: str = "standard",
    compress: bool = True,
    level: int = 3,
    verify: bool = True,
    overwrite: bool = False,
    kdf: tuple[int, int, int] | None = None,
    threads: int | None = None,
    progress: Any = None,
) -> BackupReport:
    """Streams a backup of the project to a path or to a binary file, and reports on it.

    A path gets the finished and verified backup in one step; until then, and if anything fails or
    the process is killed, there is nothing under that name. A file object must be readable and
    seekable where `verify` is on.

    `models` limits the backup to some models (classes or ``app.Model``); `profile` is
    ``standard``, ``coded`` or ``light``; `kdf` is a `KDFParams`, Argon2id's costs.
    """
    if not passphrase:
        raise BackupError("The passphrase is empty.")
    options = container.WriterOptions(
        profile=profile, compress=compress, level=level, kdf=kdf, threads=threads
    )
    scope = discover(using, registry, models)
    if isinstance(target, (str, os.PathLike)):
        with container.atomic_file(target, overwrite=overwrite) as file:
            report = _write(file, passphrase, scope, using, allow_missing_files, options, progress)
            if verify:
                _verify(file, passphrase, report)
        report.path = os.fspath(target)
        return report
    report = _write(target, passphrase, scope, using, allow_missing_files, options, progress)
    if verify:
        _verify(target, passphrase, report)
    return report


def _verify(file: Any, passphrase: str | bytes, report: BackupReport) -> None:
    """Reads back what was written, from the disk, and decrypts all of it."""
    result = container.read_back(file, passphrase)
    if result.status != "clean" or not result.decrypted:
        raise BackupError(
            "The backup was written and does not read back as it was written: "
            f"{result.status}. The disk, the memory or the cable may be failing; nothing was kept."
        )
    report.verified = True


def _write(
    file: Any,
    passphrase: str | bytes,
    scope: Scope,
    using: str,
    allow_missing_files: bool,
    options: container.WriterOptions,
    progress: Any,
) -> BackupReport:
    report = BackupReport(notes=list(scope.notes))
    with container.Writer(file, passphrase, options, PRODUCER) as writer:
        _Producer(writer, scope, using, allow_missing_files, report, progress).run()
        writer.finish()
    report.size = container.size_of(file)
    return report


class _Producer:
    """Writes the payload of one backup."""

    def __init__(
        self,
        sink: Any,
        scope: Scope,
        using: str,
        allow_missing_files: bool,
        report: BackupReport,
        progress: Any,
    ) -> None:
        self.scope = scope
        self.using = using
        self.allow_missing = allow_missing_files
        self.report = report
        self.progress = progress or (lambda *args: None)
        self.tar = TarWriter(sink)
        self.now_ns = time.time_ns()
        self.storages: dict[str, Any] = {}
        self.keys: dict[Any, str] = {}
        self.declared = declared_roots(plan.config for plan in scope.plans)
        self.allowed: dict[str, bool] = {}

    def run(self) -> None:
        with contextlib.closing(References()) as references:
            with snapshot(self.using) as consistent:
                self.report.snapshot = consistent
                if not consistent:
                    self.report.notes.append(
                        "The backup was made inside an open transaction: rows may be of "
                        "different moments."
                    )
                natural = NaturalKeys(self.using, self.scope.labels)
                dumpers = [RowDumper(plan, self.using, natural) for plan in self.scope.plans]
                for dumper in dumpers:
                    for field in dumper.plan.file_fields:
                        key = storage_key(field)
                        self.keys[field] = key
                        self.storages[key] = field.storage
                self._meta(dumpers)
                for dumper in dumpers:
                    self._rows(dumper, references)
            self._files(references)
        self._summary()
        self.tar.close()
        self.report.payload_bytes = self.tar.offset

    def _json(self, name: str, document: Any) -> None:
        data = json.dumps(document, ensure_ascii=True, indent=1).encode() + b"\n"
        self.tar.add_bytes(name, data, self.now_ns)

    def _meta(self, dumpers: list[RowDumper]) -> None:
        created = datetime.datetime.fromtimestamp(self.now_ns / 10**9, datetime.timezone.utc)
        connection = connections[self.using]
        self.expected = {dumper.plan.label: dumper.count() for dumper in dumpers}
        roots = self._roots()
        self._json(
            META,
            {
                "format": FORMAT,
                "producer": PRODUCER,
                "created": created.isoformat(),
                "django": django.get_version(),
                "database": connection.vendor,
                "snapshot": self.report.snapshot,
                "migrations": applied_migrations(connection),
                "models": [
                    {
                        "model": dumper.plan.label,
                        "rows": self.expected[dumper.plan.label],
                        **({"excluded": dumper.plan.excluded} if dumper.plan.excluded else {}),
                    }
                    for dumper in dumpers
                ],
                "storages": {
                    key: [field_label(f) for f, k in self.keys.items() if k == key]
                    for key in self.storages
                },
                "path_fields": [
                    field_label(f) for plan in self.scope.plans for f in plan.path_fields
                ],
                "roots": roots,
                "notes": self.report.notes,
            },
        )
        self.roots = roots

    def _roots(self) -> list[str]:
        roots = []
        configured = [os.fspath(root) for root in conf.file_roots()]
        for plan in self.scope.plans:
            configured += [os.fspath(root) for root in plan.config.file_roots]
        for root in configured:
            path = os.path.abspath(root)
            if path not in roots:
                roots.append(path)
        return roots

    def _rows(self, dumper: RowDumper, references: References) -> None:
        label = dumper.plan.label
        parts = 0
        buffered: list[bytes] = []
        length = 0
        with contextlib.closing(dumper.chunks()) as chunks:
            for lines, count, named in chunks:
                buffered.append(lines)
                length += len(lines)
                if named:
                    references.add(
                        (
                            "storage:" + self.keys[field] if field in self.keys else "path",
                            name,
                            field_label(field),
                            pk,
                        )
                        for pk, field, name in named
                    )
                if length >= PART:
                    parts += 1
                    self._part(label, parts, buffered, length)
                    buffered, length = [], 0
                self.progress("rows", label, dumper.rows, self.expected[label])
        if length or not parts:
            self._part(label, parts + 1, buffered, length)
        if self.report.snapshot and dumper.rows != self.expected[label]:
            raise BackupError(
                f"{dumper.plan.model._meta.label} has {self.expected[label]} rows and "
                f"{dumper.rows} were read. Its get_queryset() may return rows twice."
            )
        self.report.rows[label] = dumper.rows

    def _part(self, label: str, number: int, lines: list[bytes], length: int) -> None:
        suffix = "" if number == 1 else f".part{number}"
        member = Member(f"rows/{label}{suffix}.jsonl", length, 0o644, self.now_ns)
        self.tar.add(member, lines)

    def _files(self, references: References) -> None:
        writer = FileWriter(self.tar, self.now_ns)
        missing = self.report.missing_files
        try:
            for place, name, field, pk in references:
                try:
                    if place == "path":
                        self._path_file(writer, name, field)
                    else:
                        self._storage_file(writer, place.partition(":")[2], name, field)
                except Missing as error:
                    model, _, column = field.rpartition(".")
                    missing.append(MissingFile(name, str(error), model, pk, column))
                self.progress("files", None, writer.count, None)
            for i, root in enumerate(self.roots):
                missing.extend(writer.tree(f"{ROOT}{i}", root))
        except Changed as error:
            raise BackupError(f"{error}. Run the backup again.") from error
        if missing and not self.allow_missing:
            raise MissingFiles(missing)
        self.report.files = writer.count
        self.report.file_bytes = writer.bytes
        self.report.notes += writer.notes
        self.report.notes += [f"{path} changed while it was read." for path in writer.changed]

    def _storage_file(self, writer: FileWriter, key: str, name: str, field: str) -> None:
        extra = {FIELD: field}
        if is_plain_name(name):
            member = f"{STORAGE}{key}/{name}"
        else:
            member = f"{STORAGE}{key}/.dbs-name/{writer.count}"
            extra[NAME] = name
        writer.stored(member, self.storages[key], name, extra)

    def _path_file(self, writer: FileWriter, name: str, field: str) -> None:
        absolute = os.path.abspath(name)
        directory = os.path.dirname(absolute)
        if directory not in self.allowed:
            self.allowed[directory] = any(
                real_place(absolute).startswith(root + os.sep) for root in self.declared
            )
            if not self.allowed[directory]:
                self.report.notes.append(
                    f"{field} names files in {directory}, which no setting declares: a restore "
                    "needs that directory in DBS_RESTORE_ROOTS, or --restore-root."
                )
        extra = {FIELD: field}
        if absolute != name:
            extra[NAME] = name
        writer.local(PATH + absolute, absolute, extra)

    def _summary(self) -> None:
        report = self.report
        self._json(
            SUMMARY,
            {
                "rows": report.rows,
                "files": report.files,
                "file_bytes": report.file_bytes,
                "missing_files": [
                    {
                        "name": item.name,
                        "reason": item.reason,
                        "model": item.model,
                        "pk": str(item.pk) if item.pk is not None else None,
                        "field": item.field,
                    }
                    for item in report.missing_files
                ],
                "notes": report.notes,
            },
        )


def applied_migrations(connection: Any) -> dict[str, list[str]]:
    """Names of the applied migrations of each app, in order."""
    from django.db.migrations.recorder import MigrationRecorder

    found: dict[str, list[str]] = {}
    recorder = MigrationRecorder(connection)
    if recorder.has_table():
        for app, name in recorder.migration_qs.order_by("id").values_list("app", "name"):
            found.setdefault(app, []).append(name)
    return found


def timestamped_name(prefix: str | None = None) -> str:
    """A name that sorts by time and never collides."""
    now = datetime.datetime.now(datetime.timezone.utc)
    prefix = conf.setting("DBS_BACKUP_PREFIX") if prefix is None else prefix
    return f"{prefix}-{now:%Y%m%dT%H%M%S}Z-{secrets.token_hex(3)}.dbs"
