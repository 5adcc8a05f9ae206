"""How rows with one set of columns go into a table: values for the driver, and the SQL."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.constants import OnConflict

from .dump import JSON_NULL, is_generated

if TYPE_CHECKING:
    from .load import RowLoader

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


class Insertion:
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
                return prepare(loader.python_value(f, value), connection)
            if isinstance(value, list):
                return prepare(loader.natural.find(f, value), connection)
            return prepare(loader.python_value(target, value), connection)

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

    def drop_same_links(self, params: list[list[Any]]) -> None:
        """For the table of a many-to-many field: deletes links that the rows bring under other ids.

        A link that was taken away and made again has another id and says the same.
        """
        quote = self.loader.connection.ops.quote_name
        meta = self.loader.model._meta
        ends = [f for f in meta.local_concrete_fields if f.remote_field is not None]
        columns = [self.columns.index(f) for f in (*ends, meta.pk)]
        same = " AND ".join([*(f"{quote(f.column)} = %s" for f in ends), f"{quote(meta.pk.column)} <> %s"])
        with self.loader.connection.cursor() as cursor:
            for start in range(0, len(params), 250):
                part = params[start : start + 250]
                condition = " OR ".join([f"({same})"] * len(part))
                cursor.execute(
                    f"DELETE FROM {quote(meta.db_table)} WHERE {condition}",  # noqa: S608
                    [row[i] for row in part for i in columns],
                )

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
