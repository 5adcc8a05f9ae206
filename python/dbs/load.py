"""Rows of a backup into tables: in bulk where nobody watches, one by one where signals do."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import DatabaseError, connections, models, transaction
from django.db.models import signals
from django.db.models.constants import OnConflict
from django.db.models.expressions import Value

from .dump import CHUNK, JSON_NULL, is_composite, is_generated, pk_fields
from .exceptions import RestoreError

#: Values of one INSERT statement where rows are put together.
VALUES = 4000

_AS_IS = {
    models.AutoField: int,
    models.BigAutoField: int,
    models.SmallAutoField: int,
    models.IntegerField: int,
    models.BigIntegerField: int,
    models.SmallIntegerField: int,
    models.PositiveIntegerField: int,
    models.PositiveBigIntegerField: int,
    models.PositiveSmallIntegerField: int,
    models.BooleanField: bool,
    models.CharField: str,
    models.TextField: str,
    models.SlugField: str,
    models.EmailField: str,
    models.URLField: str,
    models.FileField: str,
    models.ImageField: str,
    models.FilePathField: str,
}


def database_says(error: BaseException) -> str:
    """The database's message on one line."""
    return " ".join(str(error).split()).rstrip(".")


class NaturalLookup:
    """Finds rows by natural key; content types and permissions that are not there are made."""

    def __init__(self, using: str, notes: list[str]) -> None:
        self.using = using
        self.notes = notes
        self._known: dict[Any, Any] = {}

    def find(self, field: Any, key: list[Any]) -> Any:
        model = field.remote_field.model
        name = (model, field.target_field.attname, tuple(map(str, key)))
        if name not in self._known:
            self._known[name] = getattr(self._object(model, key), field.target_field.attname)
        return self._known[name]

    def _object(self, model: Any, key: list[Any]) -> Any:
        manager = model._default_manager.db_manager(self.using)
        if not hasattr(manager, "get_by_natural_key"):
            raise RestoreError(
                f"The backup refers to a row of {model._meta.label} by its natural key {key!r}, "
                "and the model's manager has no get_by_natural_key()."
            )
        try:
            return manager.get_by_natural_key(*key)
        except ObjectDoesNotExist:
            made = self._make(model, key)
            if made is None:
                raise RestoreError(
                    f"The backup refers to the {model._meta.verbose_name} {key!r}, which is not "
                    f"in this database. Run `manage.py migrate` first, or create it."
                ) from None
            return made

    def _make(self, model: Any, key: list[Any]) -> Any:
        label = model._meta.label_lower
        rows = models.QuerySet(model=model, using=self.using)
        if label == "contenttypes.contenttype" and len(key) == 2:
            made = rows.create(app_label=key[0], model=key[1])
            model.objects.clear_cache()
        elif label == "auth.permission" and len(key) == 3:
            content_type = model._meta.get_field("content_type")
            type_id = self.find(content_type, key[1:])
            name = f"Can {str(key[0]).replace('_', ' ', 1)}"
            made = rows.create(codename=key[0], content_type_id=type_id, name=name)
        else:
            return None
        self.notes.append(f"The {model._meta.verbose_name} {'.'.join(map(str, key))} was missing and was made.")
        return made


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
        self._plans: dict[Any, _Plan] = {}

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
            plan = self._plans[shape] = _Plan(self, shape)
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

    def _bulk(self, plan: _Plan, params: list[list[Any]]) -> None:
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
        self, plan: _Plan, rows: list[Any], params: list[Any], error: DatabaseError
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

    def _one_by_one(self, rows: list[dict[str, Any]], plan: _Plan) -> None:
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

    def _instance(self, row: dict[str, Any], plan: _Plan) -> Any:
        data = {}
        for f, value in zip(self.pks, row["pk"] if self.composite else [row["pk"]]):
            data[f.attname] = self._python(f, value)
        nulls = row.get(JSON_NULL, ())
        for f in plan.given:
            if f.name not in row["fields"]:
                continue
            if f.name in nulls:
                data[f.attname] = Value(None, models.JSONField(encoder=f.encoder))
            else:
                value = row["fields"][f.name]
                change = self.rewrite.get(f.name)
                data[f.attname] = self._python(f, change(value) if change else value)
        instance = self.model(**data)
        instance._state.db = self.using
        return instance

    def _python(self, field: Any, value: Any) -> Any:
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
                related = self._python(target, value)
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


class _Plan:
    """How rows with one set of columns go into the table."""

    def __init__(self, loader: RowLoader, shape: tuple[str, ...]) -> None:
        self.loader = loader
        model = loader.model
        connection = loader.connection
        meta = model._meta
        self.many_to_many: list[Any] = []
        self.given: list[Any] = []
        for name in shape:
            f = loader.field(name)
            if f is None:
                continue
            if f.many_to_many:
                self.many_to_many.append(f)
            elif getattr(f, "concrete", False) and not is_generated(f):
                if f in meta.local_concrete_fields:
                    self.given.append(f)
        given = set(self.given)
        pks = [f for f in loader.pks if f not in given]
        absent = [
            f
            for f in meta.local_concrete_fields
            if f not in given and f not in loader.pks and not is_generated(f)
        ]
        self.defaults = [f for f in absent if not _has_db_default(f)]
        self.from_pk = pks
        self.columns = [*pks, *self.given, *self.defaults]
        self.bulk = all(_plain_placeholder(f, connection) for f in self.columns)
        self._converters = [(f.name, self._converter(f)) for f in self.given]
        self._pk_converters = [self._converter(f) for f in pks]
        self._key = [self.columns.index(f) for f in loader.pks]
        self._prepare_sql(connection)

    def _prepare_sql(self, connection: Any) -> None:
        quote = connection.ops.quote_name
        meta = self.loader.model._meta
        names = ", ".join(quote(f.column) for f in self.columns)
        self._into = f" {quote(meta.db_table)} ({names}) VALUES "
        marks = [_placeholder(f, connection) for f in self.columns]
        self._marks = "(" + ", ".join(marks) + ")"
        updated = [f for f in self.given if f not in self.loader.pks]
        self._updated = [(self.columns.index(f), f.column) for f in updated]
        # A table of nothing but its key has nothing to update.
        on_conflict = OnConflict.UPDATE if updated else OnConflict.IGNORE
        self._insert = connection.ops.insert_statement()
        self._merge = connection.ops.insert_statement(on_conflict=on_conflict)
        self._conflict = ""
        if connection.features.supports_update_conflicts_with_target:
            self._conflict = " " + connection.ops.on_conflict_suffix_sql(
                self.columns,
                on_conflict,
                [f.column for f in updated],
                [f.column for f in self.loader.pks],
            )

    def _converter(self, f: Any) -> Callable[[Any], Any]:
        """A function from a value of the JSON to one for the database driver."""
        loader = self.loader
        connection = loader.connection
        target = f
        while target.remote_field is not None and hasattr(target, "target_field"):
            target = target.target_field
        change = loader.rewrite.get(f.name)
        if target is f and type(f) is models.JSONField:
            encoder = f.encoder
            return lambda v: None if v is None else connection.ops.adapt_json_value(v, encoder)
        as_is = _AS_IS.get(type(target))
        prepare = target.get_db_prep_save

        def convert(value: Any) -> Any:
            if value is None:
                return None
            if change is not None:
                value = change(value)
            if type(value) is as_is:
                return value
            if target is f:
                return prepare(loader._python(f, value), connection)
            if isinstance(value, list):
                return prepare(loader.natural.find(f, value), connection)
            return prepare(loader._python(target, value), connection)

        if type(target) is models.UUIDField and target is not f or type(f) is models.UUIDField:
            if not connection.features.has_native_uuid_field:
                return lambda v: uuid.UUID(v).hex if type(v) is str else convert(v)
        return convert

    def params(self, rows: list[dict[str, Any]]) -> list[list[Any]]:
        loader = self.loader
        connection = loader.connection
        converters = self._converters
        pk_converters = self._pk_converters
        composite = loader.composite
        defaults = self.defaults
        out = []
        for row in rows:
            values: list[Any] = []
            if pk_converters:
                pk = row["pk"]
                if composite:
                    values = [convert(v) for convert, v in zip(pk_converters, pk)]
                else:
                    values = [pk_converters[0](pk)]
            fields = row["fields"]
            values += [convert(fields[name]) for name, convert in converters]
            for f in defaults:
                values.append(f.get_db_prep_save(f.get_default(), connection))
            nulls = row.get(JSON_NULL)
            if nulls:
                for i, f in enumerate(self.columns):
                    if f.name in nulls:
                        values[i] = connection.ops.adapt_json_value(None, f.encoder)
            out.append(values)
        return out

    def key(self, params: list[Any]) -> tuple[Any, ...]:
        return tuple(params[i] for i in self._key)

    def keys(self, params: list[list[Any]]) -> list[tuple[Any, ...]]:
        return [self.key(p) for p in params]

    def insert(self, cursor: Any, params: list[list[Any]], merge: bool = False) -> None:
        head = (self._merge if merge else self._insert) + self._into
        suffix = self._conflict if merge else ""
        if self.loader.connection.vendor in ("sqlite", "oracle"):
            cursor.executemany(head + self._marks + suffix, params)
            return
        step = max(1, VALUES // max(1, len(self.columns)))
        for start in range(0, len(params), step):
            part = params[start : start + step]
            sql = head + ", ".join([self._marks] * len(part)) + suffix
            cursor.execute(sql, [value for row in part for value in row])

    def update(self, cursor: Any, params: list[Any]) -> None:
        if not self._updated:
            return
        quote = self.loader.connection.ops.quote_name
        table = quote(self.loader.model._meta.db_table)
        columns = ", ".join(f"{quote(column)} = %s" for _, column in self._updated)
        keys = " AND ".join(f"{quote(f.column)} = %s" for f in self.loader.pks)
        cursor.execute(
            f"UPDATE {table} SET {columns} WHERE {keys}",  # noqa: S608
            [*(params[i] for i, _ in self._updated), *self.key(params)],
        )


def _has_db_default(f: Any) -> bool:
    default = getattr(f, "db_default", models.NOT_PROVIDED)
    return default is not models.NOT_PROVIDED and not f.has_default()


def _placeholder(f: Any, connection: Any) -> str:
    get = getattr(f, "get_placeholder", None)
    return get([], None, connection) if get and _is_array(f) else "%s"


def _is_array(f: Any) -> bool:
    return f.__class__.__module__.startswith("django.contrib.postgres") and hasattr(f, "base_field")


def _plain_placeholder(f: Any, connection: Any) -> bool:
    """Whether a value of the field goes into SQL as a plain parameter."""
    if _is_array(f):
        return True
    if isinstance(f, models.BinaryField):
        return connection.vendor in ("sqlite", "postgresql")
    return not (hasattr(f, "get_placeholder") or hasattr(f, "get_placeholder_sql"))


