"""Restoring a backup: one transaction for the rows, then the files."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import DatabaseError, IntegrityError, connections, models, reset_queries, transaction

from . import conf, container, legacy, legacy_salvage
from . import salvage as salvaging
from .backup import applied_migrations
from .discovery import plan_model
from .events import End, Event, File, Meta, Rows, tar_events
from .exceptions import RestoreError, database_says
from .load import RowLoader
from .natural import NaturalLookup
from .placing import Placer
from .registry import BackupRegistry, backup_registry
from .reports import ModelResult, RestoreReport
from .secrecy import hides_passphrase
from .settle import settle_insiders, settle_outsiders
from .tarstream import pieces


class _RollBack(Exception):
    """Ends the transaction of a dry run."""


@hides_passphrase
def restore_backup(
    source: Any,
    passphrase: str | bytes,
    *,
    using: str = "default",
    registry: BackupRegistry | None = None,
    flush: bool = False,
    dry_run: bool = False,
    data: bool = True,
    files: bool = True,
    models: Any = None,
    only_files: Any = None,
    skip_unknown: bool = False,
    path_map: dict[str, str] | None = None,
    restore_roots: Any = (),
    salvage: bool = False,
    progress: Any = None,
) -> RestoreReport:
    """Restores a backup: a path, bytes, or a binary file.

    Rows are merged by primary key: those of the backup replace those of the database and others
    stay; with `flush` the tables in the backup are emptied first. All rows go in in one
    transaction, or none. Files are moved to their places after the commit.

    `models` (classes or labels) and `only_files` (shell patterns of names) choose parts: with
    `models` alone, the rows of those and the files their columns name; with `only_files` alone, no
    rows. `path_map` maps directories of the backup to those of this machine, and
    `restore_roots` adds to ``DBS_RESTORE_ROOTS``. A `dry_run` does all of it and takes it back.

    With `salvage` what is lost is left out and listed in the report's `skipped`: files, and rows,
    and then also rows that refer to lost ones.
    """
    archive = container.open_archive(source)
    payload = archive.unlock(passphrase)
    report = RestoreReport(version=archive.version, dry_run=dry_run, salvage=salvage)
    mapping = {**conf.path_map(), **(path_map or {})}
    registry = backup_registry if registry is None else registry
    job = _Restore(
        using=using,
        registry=registry,
        flush=flush,
        dry_run=dry_run,
        data=data and (only_files is None or models is not None),
        files=files,
        only_models=_labels(models),
        only_files=list(only_files) if only_files is not None else None,
        skip_unknown=skip_unknown,
        salvage=salvage,
        placer=Placer(report, registry, mapping, [os.fspath(r) for r in restore_roots], dry_run),
        report=report,
        progress=progress or (lambda *args: None),
    )
    if salvage:
        job.run(_salvaged(archive, payload, report))
    else:
        job.run(payload_events(payload, partial=models is not None or only_files is not None))
    report.container = payload.report()
    return report


def _salvaged(archive: Any, payload: Any, report: RestoreReport) -> Iterator[Event]:
    if payload.seekable and payload.media_type == container.TAR:
        return salvaging.events(payload, report.skipped)
    if archive.validate().status != "unrecoverable":
        return payload_events(payload)
    return legacy_salvage.events(payload, archive.version, report.skipped)


def payload_events(payload: Any, partial: bool = False) -> Iterator[Event]:
    """The events of an unlocked payload of any version and format.

    With `partial` what nobody reads is skipped over where that is possible.
    """
    stream = payload.reader()
    head = stream.read(8)
    if head in legacy.MAGICS:
        return legacy.events(_Prefixed(head, stream))
    if partial and payload.seekable:
        stream.close()
        return tar_events(container.seekable(payload), seekable=True)
    return _to_the_end(_Prefixed(head, stream))


class _Prefixed:
    """A stream of which the first bytes have been read already."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if self._head:
            if size is None or size < 0:
                size = 1 << 62
            data, self._head = self._head[:size], self._head[size:]
            if len(data) == size:
                return data
            return data + bytes(self._stream.read(size - len(data) if size < 1 << 61 else -1))
        return bytes(self._stream.read(size))


def _to_the_end(stream: Any) -> Iterator[Event]:
    yield from tar_events(stream, seekable=False)
    # Only at its end does the stream say what it had to heal.
    for _ in pieces(stream):
        pass


def _labels(chosen: Any) -> set[str] | None:
    if chosen is None:
        return None
    return {m.lower() if isinstance(m, str) else m._meta.label_lower for m in chosen}


def _links_of(labels: set[str]) -> set[str]:
    """The tables of their many-to-many fields, which no model of their own stands for."""
    found = set()
    for label in labels:
        with contextlib.suppress(LookupError, ValueError):
            for many in apps.get_model(label)._meta.local_many_to_many:
                through = many.remote_field.through
                if through._meta.auto_created:
                    found.add(through._meta.label_lower)
    return found


class _Restore:
    def __init__(
        self,
        *,
        using: str,
        registry: BackupRegistry,
        flush: bool,
        dry_run: bool,
        data: bool,
        files: bool,
        only_models: set[str] | None,
        only_files: list[str] | None,
        skip_unknown: bool,
        salvage: bool,
        placer: Placer,
        report: RestoreReport,
        progress: Any,
    ) -> None:
        self.using = using
        self.connection = connections[using]
        self.registry = registry
        self.flush = flush
        self.dry_run = dry_run
        self.data = data
        self.files = files
        self.only_models = only_models
        self.only_files = only_files
        self.unmatched = set(only_files or ())
        self.skip_unknown = skip_unknown
        self.salvage = salvage
        self.placer = placer
        self.report = report
        self.progress = progress
        self.meta = Meta()
        self.natural = NaturalLookup(using, report.notes)
        self.loaders: dict[str, RowLoader | None] = {}
        self.before: dict[str, int] = {}
        self.seen_models: set[str] = set()
        self.ended = False

    def run(self, events: Iterator[Event]) -> None:
        try:
            if self.data:
                self._in_transaction(events)
            else:
                self._consume(events)
                self.placer.check_links()
            if not self.dry_run:
                self.placer.commit()
        finally:
            self.placer.close()

    def _in_transaction(self, events: Iterator[Event]) -> None:
        with contextlib.suppress(_RollBack), transaction.atomic(using=self.using):
            with self.connection.constraint_checks_disabled():
                self._consume(events)
                inside = [loader.model for loader in self.loaders.values() if loader is not None]
                if self.flush:
                    self.report.notes += settle_outsiders(inside, self.using)
                if self.salvage:
                    self.report.skipped += settle_insiders(inside, self.using)
            self._check_constraints()
            self.placer.check_links()
            self._count()
            if self.dry_run:
                raise _RollBack
            self._reset_sequences()

    def _consume(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, Meta):
                self._begin(event)
            elif isinstance(event, Rows):
                self._rows(event)
            elif isinstance(event, File):
                self._file(event)
            elif isinstance(event, End):
                self._end(event)
        if not self.ended:
            raise RestoreError("The backup's contents end too early.")
        if self.files and self.unmatched and not self.salvage:
            raise RestoreError(
                f"The backup has no file like {' or '.join(sorted(self.unmatched))}. "
                "`manage.py dbs_list` lists what it has."
            )

    # Rows

    def _begin(self, meta: Meta) -> None:
        self.meta = meta
        self.placer.meta = meta
        self.report.created = meta.created
        labels = meta.models if meta.models is not None else list(meta.counts or ())
        if self.only_models is not None:
            unknown = sorted(self.only_models - set(labels))
            if unknown and meta.models:
                raise RestoreError(
                    f"The backup has no rows of {', '.join(unknown)}. It has: {', '.join(labels)}."
                )
            self.only_models |= _links_of(self.only_models)
        if not self.data:
            return
        self._compare_migrations(meta)
        loaders = [loader for label in labels if (loader := self._loader(label)) is not None]
        if self.flush:
            self._empty_tables(loaders)

    def _compare_migrations(self, meta: Meta) -> None:
        here = applied_migrations(self.connection)
        for app, names in meta.migrations.items():
            if app == legacy.OWN_APP:
                continue
            known = here.get(app, [])
            missing = [name for name in names if name not in known]
            if missing:
                self.report.notes.append(
                    f"The backup's {app} had the migration {missing[-1]}, which is not applied here."
                )
            elif names and known and names[-1] != known[-1]:
                self.report.notes.append(
                    f"The backup's {app} was at {names[-1]}; here it is at {known[-1]}."
                )

    def _loader(self, label: str) -> RowLoader | None:
        """The loader of a model; None if its rows are not wanted, or may be skipped."""
        if label in self.loaders:
            return self.loaders[label]
        loader = None
        if self.only_models is None or label in self.only_models:
            try:
                model = apps.get_model(label)
            except (LookupError, ValueError):
                model = None
                if self.skip_unknown:
                    self.report.skipped.append(f"{label} (no such model)")
                elif not legacy.is_own_model(label):
                    raise RestoreError(
                        f"The backup has rows of {label}, and this project has no such model. Add "
                        "its app, or leave such rows out with --skip-unknown (skip_unknown=True)."
                    ) from None
            if model is not None:
                rewrite = {}
                if self.placer.path_map:
                    plan = plan_model(model, self.registry)
                    declared = {f.name for f in plan.path_fields} | {
                        name.rpartition(".")[2]
                        for name in self.meta.path_fields
                        if name.rpartition(".")[0] == label
                    }
                    rewrite = {
                        name: lambda v: self.placer.relocate(v) if isinstance(v, str) else v
                        for name in declared
                    }
                count = self._table_count(model)
                self.before[label] = count
                loader = RowLoader(
                    model,
                    self.using,
                    self.natural,
                    merge=not self.flush and count > 0,
                    skip_unknown=self.skip_unknown,
                    skipped=self.report.skipped,
                    rewrite=rewrite,
                )
        self.loaders[label] = loader
        return loader

    def _table_count(self, model: Any) -> int:
        try:
            return models.QuerySet(model=model, using=self.using).count()
        except DatabaseError as error:
            raise RestoreError(
                f"The table of {model._meta.label} cannot be read: {database_says(error)}. Run "
                "`manage.py migrate` first."
            ) from error

    def _empty_tables(self, loaders: list[RowLoader]) -> None:
        tables = []
        for loader in reversed(loaders):
            for many in loader.model._meta.local_many_to_many:
                through = many.remote_field.through
                if through._meta.auto_created and through._meta.label_lower not in self.loaders:
                    tables.append(through)
            tables.append(loader.model)
        for model in tables:
            rows = models.QuerySet(model=model, using=self.using)
            deleted = rows._raw_delete(self.using)
            label = model._meta.label_lower
            if label in self.loaders:
                self.report.models.setdefault(label, ModelResult()).deleted = max(deleted or 0, 0)

    def _rows(self, event: Rows) -> None:
        label = event.model.lower()
        if not self.data:
            return
        loader = self._loader(label)
        if loader is None:
            if legacy.is_own_model(label):
                note = f"Rows of {label}, which django-dbs kept for itself, were left out."
                if note not in self.report.notes:
                    self.report.notes.append(note)
            return
        try:
            loader.load(event.rows)
        except ValueError as error:
            raise RestoreError(f"A row of {label} is not JSON: {error}") from error
        reset_queries()
        self.progress("rows", label, loader.rows, (self.meta.counts or {}).get(label))

    def _count(self) -> None:
        for label, loader in self.loaders.items():
            if loader is None:
                continue
            result = self.report.models.setdefault(label, ModelResult())
            result.rows = loader.rows
            if self.flush:
                result.inserted = loader.rows
                continue
            after = self._table_count(loader.model)
            result.inserted = max(0, after - self.before[label])
            result.updated = max(0, loader.rows - result.inserted)

    def _end(self, event: End) -> None:
        self.ended = True
        if self.data:
            for label, count in (event.counts or self.meta.counts or {}).items():
                loader = self.loaders.get(label)
                if loader is not None and loader.rows != count:
                    if self.salvage:
                        self.report.skipped.append(f"{count - loader.rows} rows of {label}: lost")
                        continue
                    raise RestoreError(
                        f"The backup says it has {count} rows of {label}, and has {loader.rows}."
                    )
        for item in event.summary.get("missing_files", ()):
            if isinstance(item, dict):
                self.report.notes.append(
                    f"{item.get('name')} was missing when the backup was made."
                )

    def _check_constraints(self) -> None:
        tables = []
        for loader in self.loaders.values():
            if loader is None:
                continue
            tables.append(loader.model._meta.db_table)
            for many in loader.model._meta.local_many_to_many:
                if many.remote_field.through._meta.auto_created:
                    tables.append(many.remote_field.through._meta.db_table)
        try:
            if tables:
                self.connection.check_constraints(table_names=sorted(set(tables)))
        except IntegrityError as error:
            raise RestoreError(
                f"The rows do not fit together: {database_says(error)}. Nothing was changed. "
                "If only some models were chosen, choose those they refer to as well."
            ) from error

    def _reset_sequences(self) -> None:
        touched = []
        for loader in self.loaders.values():
            if loader is not None and loader.rows:
                touched.append(loader.model)
        statements = self.connection.ops.sequence_reset_sql(no_style(), touched)
        if statements:
            with self.connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    # Files

    def _file(self, file: File) -> None:
        if not self.files or not self._wanted(file):
            return
        if file.left_out is not None and file.stream is None:
            self.report.skipped.append(f"{file.shown}: not in the backup ({file.left_out})")
            return
        self.placer.take(file)
        self.progress("files", None, self.report.files, None)

    def _wanted(self, file: File) -> bool:
        if self.only_files is not None:
            names = (file.shown, file.name)
            matching = [
                pattern
                for pattern in self.only_files
                if any(fnmatch.fnmatchcase(name, pattern) for name in names)
            ]
            self.unmatched.difference_update(matching)
            return bool(matching)
        if self.only_models is not None:
            return file.field is not None and file.field.rpartition(".")[0] in self.only_models
        return True
