"""Rows of a backup into tables: in bulk where nobody watches, one by one where signals do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connections, models, transaction
from django.db.models import signals
from django.db.models.expressions import Value

from .dump import CHUNK, JSON_NULL, is_composite, pk_fields
from .exceptions import RestoreError, database_says
from .insertion import Insertion
from .natural import NaturalLookup


class RowLoader:
    """Loads the rows of one model."""

    def __init__(
        self,
        model: Any,
        using: str,
        natural: NaturalLookup,
        *,
        merge: bool,
        skip_unknown: bool,
        skipped: list[str],
        rewrite: dict[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self.model = model
        self.using = using
        self.connection = connections[using]
        self.natural = natural
        self.merge = merge
        self.skip_unknown = skip_unknown
        self.skipped = skipped
        self.rewrite = rewrite or {}
        self.rows = 0
        self.inserted = 0
        self.pks = pk_fields(model)
        self.composite = is_composite(model)
        self.watched = any(
            signal.has_listeners(model) for signal in (signals.pre_save, signals.post_save)
        )
        self._plans: dict[Any, Insertion] = {}

    def load(self, rows: Iterable[Any]) -> None:
        """Loads rows in chunks of those that have the same columns."""
        chunk: list[dict[str, Any]] = []
        shape: Any = None
        for row in rows:
            fields = row.get("fields") if isinstance(row, dict) else None
            if not isinstance(fields, dict) or "pk" not in row:
                raise RestoreError(f"A row of {self.model._meta.label} is not a row: {row!r:.200}")
            keys = tuple(fields)
            if chunk and (keys != shape or len(chunk) == CHUNK):
                self._chunk(chunk, shape)
                chunk = []
            shape = keys
            chunk.append(row)
        if chunk:
            self._chunk(chunk, shape)

    def _chunk(self, rows: list[dict[str, Any]], shape: tuple[str, ...]) -> None:
        plan = self._plans.get(shape)
        if plan is None:
            plan = self._plans[shape] = Insertion(self, shape)
        if self.merge and self.model._meta.auto_created:
            plan.drop_same_links(plan.params(rows))
        if self.watched or not plan.bulk:
            self._one_by_one(rows, plan)
        else:
            params = plan.params(rows)
            try:
                with transaction.atomic(using=self.using):
                    self._bulk(plan, params)
            except DatabaseError as error:
                self._find_culprit(plan, rows, params, error)
        for many in plan.many_to_many:
            self._many_to_many(many, rows)
        self.rows += len(rows)

    def _bulk(self, plan: Insertion, params: list[list[Any]]) -> None:
        connection = self.connection
        with connection.cursor() as cursor:
            if not self.merge:
                plan.insert(cursor, params)
            elif connection.features.supports_update_conflicts_with_target:
                plan.insert(cursor, params, merge=True)
            else:
                existing = self._existing(plan.keys(params))
                new = []
                for p in params:
                    if self._same(plan.key(p)) in existing:
                        plan.update(cursor, p)
                    else:
                        new.append(p)
                if new:
                    plan.insert(cursor, new)

    def _same(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        """A key in one form, whether it goes to the database or comes from there."""
        return tuple(f.to_python(value) for f, value in zip(self.pks, key))

    def _existing(self, keys: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """Which of these keys, as the database has them, are in the table."""
        quote = self.connection.ops.quote_name
        columns = [quote(f.column) for f in self.pks]
        table = quote(self.model._meta.db_table)
        found: set[tuple[Any, ...]] = set()
        with self.connection.cursor() as cursor:
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                condition = " OR ".join(
                    ["(" + " AND ".join(f"{c} = %s" for c in columns) + ")"] * len(part)
                )
                cursor.execute(
                    f"SELECT {', '.join(columns)} FROM {table} WHERE {condition}",  # noqa: S608
                    [value for key in part for value in key],
                )
                found.update(self._same(row) for row in cursor.fetchall())
        return found

    def _find_culprit(
        self, plan: Insertion, rows: list[Any], params: list[Any], error: DatabaseError
    ) -> None:
        """The chunk failed: goes through it row by row, to name the one at fault."""
        for row, p in zip(rows, params):
            try:
                with transaction.atomic(using=self.using):
                    self._bulk(plan, [p])
            except DatabaseError as inner:
                raise RestoreError(
                    f"{self.model._meta.label} with pk {row['pk']!r} cannot be restored: "
                    f"{database_says(inner)}. If it collides with a row that is not in the backup, "
                    "restore with --flush (flush=True), which replaces the rows."
                ) from inner
        # Row by row everything went in: the chunk was too much for the database in one piece.

    def _one_by_one(self, rows: list[dict[str, Any]], plan: Insertion) -> None:
        """As ``loaddata`` does it: `save_base(raw=True)`, which tells the signal receivers."""
        present = [f.name for f in plan.given if f not in self.pks]
        existing: set[Any] = set()
        if self.merge:
            keys = [self._python_key(row) for row in rows]
            queryset = models.QuerySet(model=self.model, using=self.using)
            if self.composite:
                existing = {
                    k for k in keys
                    if queryset.filter(**{f.attname: v for f, v in zip(self.pks, k)}).exists()
                }
            else:
                name = self.pks[0].attname
                for start in range(0, len(keys), 500):
                    found = queryset.filter(**{f"{name}__in": [k[0] for k in keys[start : start + 500]]})
                    existing.update((k,) for k in found.values_list(name, flat=True))
        for row in rows:
            instance = self._instance(row, plan)
            options: dict[str, Any] = {}
            if self.merge and self._python_key(row) in existing:
                if present:
                    options = {"force_update": True, "update_fields": present}
            elif not self.merge:
                options = {"force_insert": True}
            try:
                with transaction.atomic(using=self.using):
                    models.Model.save_base(instance, using=self.using, raw=True, **options)
            except DatabaseError as error:
                raise RestoreError(
                    f"{self.model._meta.label} with pk {row['pk']!r} cannot be restored: "
                    f"{database_says(error)}."
                ) from error

    def _python_key(self, row: dict[str, Any]) -> tuple[Any, ...]:
        values = row["pk"] if self.composite else [row["pk"]]
        return tuple(f.to_python(v) for f, v in zip(self.pks, values))

    def _instance(self, row: dict[str, Any], plan: Insertion) -> Any:
        data = {}
        for f, value in zip(self.pks, row["pk"] if self.composite else [row["pk"]]):
            data[f.attname] = self.python_value(f, value)
        nulls = row.get(JSON_NULL, ())
        for f in plan.given:
            if f.name not in row["fields"]:
                continue
            if f.name in nulls:
                data[f.attname] = Value(None, models.JSONField(encoder=f.encoder))
            else:
                value = row["fields"][f.name]
                change = self.rewrite.get(f.name)
                data[f.attname] = self.python_value(f, change(value) if change else value)
        instance = self.model(**data)
        instance._state.db = self.using
        return instance

    def python_value(self, field: Any, value: Any) -> Any:
        """A value of the JSON as the field's Python value."""
        try:
            if isinstance(value, list) and field.remote_field is not None:
                return self.natural.find(field, value)
            return field.to_python(value)
        except RestoreError:
            raise
        except Exception as error:  # noqa: BLE001  ValidationError, ValueError, whatever it says.
            raise RestoreError(
                f"{self.model._meta.label}.{field.name} cannot take {value!r:.100}: {error}"
            ) from error

    def _many_to_many(self, field: Any, rows: list[dict[str, Any]]) -> None:
        """Lists of related keys in a row's fields, as django-dbs and ``dumpdata`` write them."""
        through = field.remote_field.through
        source = through._meta.get_field(field.m2m_field_name())
        target = through._meta.get_field(field.m2m_reverse_field_name())
        links = models.QuerySet(model=through, using=self.using)
        new = []
        owners = []
        for row in rows:
            owner = source.target_field.to_python(row["pk"])
            owners.append(owner)
            for value in row["fields"][field.name] or ():
                related = self.python_value(target, value)
                new.append(through(**{source.attname: owner, target.attname: related}))
        if self.merge:
            for start in range(0, len(owners), 500):
                links.filter(**{f"{source.attname}__in": owners[start : start + 500]})._raw_delete(
                    self.using
                )
        links.bulk_create(new, batch_size=500)

    def field(self, name: str) -> Any:
        """The field of that name, or None if it is unknown and may be skipped."""
        try:
            return self.model._meta.get_field(name)
        except FieldDoesNotExist:
            if self.skip_unknown:
                self.skipped.append(f"{self.model._meta.label}.{name} (no such field)")
                return None
            raise RestoreError(
                f"{self.model._meta.label} has no field {name!r}, which the backup has. Migrate "
                "the project to the state of the backup, or leave such columns out with "
                "--skip-unknown (skip_unknown=True)."
            ) from None
