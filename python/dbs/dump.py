"""Rows to JSON Lines, one object a line, in the shape of Django's own serialisers.

What comes out is what ``manage.py dumpdata --format jsonl`` writes, and ``loaddata`` reads it, with
these differences: times keep their microseconds; rows are read through no manager, so none is
hidden; automatic many-to-many tables are written as tables, with their ids; a JSON ``null`` is told
apart from an SQL NULL; columns that the database computes are left out.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import decimal
import json
import json.encoder
import uuid
from collections.abc import Generator
from typing import Any

from django.db import DatabaseError, connections, models
from django.db.models import Q
from django.db.models.expressions import ExpressionWrapper
from django.utils.duration import duration_string
from django.utils.functional import Promise

from .discovery import ModelPlan
from .exceptions import BackupError, database_says
from .natural import NaturalKeys

#: Rows handled at a time.
CHUNK = 2000
#: Key of a row object that lists the JSON columns holding a JSON null. ``loaddata`` ignores it.
JSON_NULL = "json_null"

_PLAIN = (
    models.CharField,
    models.TextField,
    models.IntegerField,
    models.FloatField,
    models.BooleanField,
    models.DateField,
    models.DateTimeField,
    models.TimeField,
    models.DecimalField,
    models.UUIDField,
    models.FileField,
    models.GenericIPAddressField,
)


def _moment(value: datetime.datetime) -> str:
    text = value.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


_ENCODERS: dict[type, Any] = {
    decimal.Decimal: str,
    uuid.UUID: str,
    datetime.datetime: _moment,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: duration_string,
}


def encode_default(value: Any) -> Any:
    """What `json` does not know, as Django's encoder has it, but with microseconds."""
    encode = _ENCODERS.get(type(value))
    if encode is not None:
        return encode(value)
    for known, encode in _ENCODERS.items():
        if isinstance(value, known):
            return encode(value)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


def _encoder(ascii_only: bool) -> Any:
    """A function from an object to its JSON. Python's own would be built anew for each object."""
    slow = json.JSONEncoder(
        ensure_ascii=ascii_only,
        check_circular=False,
        separators=(",", ":"),
        default=encode_default,
    ).encode
    make = getattr(json.encoder, "c_make_encoder", None)
    escape = json.encoder.encode_basestring_ascii if ascii_only else json.encoder.encode_basestring
    if make is None:
        return slow
    pieces = make(None, encode_default, escape, None, ":", ",", False, False, True)
    return lambda value: "".join(pieces(value, 0))


_encode = _encoder(False)
_encode_ascii = _encoder(True)


def is_generated(field: Any) -> bool:
    return bool(getattr(field, "generated", False))


def pk_fields(model: Any) -> list[Any]:
    """The columns of the primary key: one, or several for a composite key."""
    fields = getattr(model._meta, "pk_fields", None)
    return list(fields) if fields else [model._meta.pk]


def is_composite(model: Any) -> bool:
    return len(pk_fields(model)) > 1 or model._meta.pk.column is None


class _Stub:
    """Stands in for a model instance where a field only reads its own attribute."""


def _value_converter(field: Any) -> Any:
    """A function from a value of the database to one for `json`, or None where it is the same."""
    if field.remote_field is not None and hasattr(field, "target_field"):
        return _value_converter(field.target_field)
    to_string = type(field).value_to_string
    if isinstance(field, models.BinaryField) and to_string is models.BinaryField.value_to_string:
        return lambda value: None if value is None else base64.b64encode(value).decode("ascii")
    if isinstance(field, models.DurationField) and (
        to_string is models.DurationField.value_to_string
    ):
        return lambda value: None if value is None else duration_string(value)
    if isinstance(field, models.JSONField):
        if field.encoder is None:
            return None
        encoder = field.encoder
        return lambda value: json.loads(json.dumps(value, cls=encoder))
    if isinstance(field, _PLAIN) and to_string in _BUILT_IN_TO_STRING:
        return None
    protected = (type(None), bool, int, float, decimal.Decimal)
    attname = field.attname

    def convert(value: Any) -> Any:
        if isinstance(value, protected):
            return value
        stub = _Stub()
        setattr(stub, attname, value)
        return field.value_to_string(stub)

    return convert


_BUILT_IN_TO_STRING = {cls.value_to_string for cls in _PLAIN}


class RowDumper:
    """Writes the rows of one model, and tells which files they name."""

    def __init__(self, plan: ModelPlan, using: str, natural: NaturalKeys) -> None:
        self.plan = plan
        self.using = using
        self.natural = natural
        meta = plan.model._meta
        self.pks = pk_fields(plan.model)
        self.composite = is_composite(plan.model)
        excluded = set(plan.excluded)
        self.fields = [
            f
            for f in meta.local_concrete_fields
            if f.name not in excluded and not is_generated(f)
        ]
        self.by_instance = any(
            type(f).value_from_object is not models.Field.value_from_object
            for f in self.fields
            if not isinstance(f, models.JSONField)
        )
        self.rows = 0

    def queryset(self) -> Any:
        custom = self.plan.config.get_queryset(self.plan.model)
        if custom is not None:
            return custom.using(self.using)
        return models.QuerySet(model=self.plan.model, using=self.using)

    def count(self) -> int:
        try:
            return self.queryset().order_by().count()
        except DatabaseError as error:
            raise BackupError(
                f"The table of {self.plan.model._meta.label} cannot be read: "
                f"{database_says(error)}. Run `manage.py migrate` first, or leave the model out "
                "with DBS_EXCLUDE_MODELS."
            ) from error

    def _columns(self) -> tuple[list[str], dict[str, Any], list[str]]:
        names = [f.attname for f in self.fields]
        nullable = [f for f in self.fields if isinstance(f, models.JSONField) and f.null]
        flags = {
            f"dbs_sql_null_{i}": ExpressionWrapper(
                Q(**{f"{f.name}__isnull": True}), output_field=models.BooleanField()
            )
            for i, f in enumerate(nullable)
        }
        return names, flags, [f.name for f in nullable]

    def _chunks(self) -> Generator[list[Any], None, None]:
        """Tuples of the columns, ordered by primary key, with constant memory on every backend."""
        names, flags, _ = self._columns()
        rows = self.queryset().order_by(*[f.attname for f in self.pks])
        if flags:
            rows = rows.annotate(**flags)
        rows = rows.values_list(*names, *flags)
        connection = connections[self.using]
        streams = connection.features.can_use_chunked_reads and connection.vendor in (
            "sqlite",
            "oracle",
        )
        if connection.vendor == "postgresql":
            streams = not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        custom = type(self.plan.config).get_queryset is not _no_queryset()
        if streams or self.composite or custom:
            chunk: list[Any] = []
            for row in rows.iterator(chunk_size=CHUNK):
                chunk.append(row)
                if len(chunk) == CHUNK:
                    yield chunk
                    chunk = []
            if chunk:
                yield chunk
            return
        # The driver would fetch the whole table: ask for the rows behind the last key instead.
        key = names.index(self.pks[0].attname)
        last = None
        while True:
            page = rows if last is None else rows.filter(**{f"{self.pks[0].attname}__gt": last})
            chunk = list(page[:CHUNK])
            if chunk:
                yield chunk
            if len(chunk) < CHUNK:
                return
            last = chunk[-1][key]

    def _instances(self) -> Generator[list[Any], None, None]:
        """For fields that read their value from the instance in a way of their own."""
        _, flags, _ = self._columns()
        rows = self.queryset().order_by(*[f.attname for f in self.pks])
        if flags:
            rows = rows.annotate(**flags)
        chunk: list[Any] = []
        for obj in rows.iterator(chunk_size=CHUNK):
            values = [f.value_from_object(obj) for f in self.fields]
            chunk.append((*values, *(getattr(obj, flag) for flag in flags)))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def chunks(self) -> Generator[tuple[bytes, int, list[tuple[Any, Any, str]]], None, None]:
        """Encoded lines, how many, and the files they name as (pk, field, name)."""
        width = len(self.fields)
        _, _, nullable_json = self._columns()
        json_columns = []
        for i, f in enumerate(self.fields):
            if isinstance(f, models.JSONField):
                flag = width + nullable_json.index(f.name) if f.null else None
                json_columns.append((i, f.name, flag))
        converters = [
            (i, convert)
            for i, f in enumerate(self.fields)
            if (convert := _value_converter(f)) is not None
        ]
        naturals = [(i, f) for i, f in enumerate(self.fields) if self.natural.applies_to(f)]
        pk_names = {f.attname for f in self.pks}
        natural_names = {f.attname for _, f in naturals}
        # As Django has it, a single key stands in "pk" only; a key that is a natural foreign key
        # stands in "fields" too, where the natural key can be.
        body = [
            (i, f.name)
            for i, f in enumerate(self.fields)
            if self.composite or f.attname not in pk_names or f.attname in natural_names
        ]
        position = {f.attname: i for i, f in enumerate(self.fields)}
        key = [position[f.attname] for f in self.pks]
        files = [(position[f.attname], f) for f in self.plan.file_fields + self.plan.path_fields]
        label = self.plan.label
        # Closed in any case: an open generator would hold a cursor of the database.
        with contextlib.closing(self._source()) as source:
            for chunk in source:
                lookups = [(i, self.natural.resolve(f, {row[i] for row in chunk})) for i, f in naturals]
                out = []
                named = []
                for row in chunk:
                    values = list(row)
                    for i, convert in converters:
                        values[i] = convert(values[i])
                    pk = [values[i] for i in key] if self.composite else values[key[0]]
                    for i, known in lookups:
                        values[i] = known.get(row[i], values[i])
                    item: dict[str, Any] = {
                        "model": label,
                        "pk": pk,
                        "fields": {name: values[i] for i, name in body},
                    }
                    for i, name, flag in json_columns:
                        if row[i] is None and (flag is None or not row[flag]):
                            item.setdefault(JSON_NULL, []).append(name)
                    for i, f in files:
                        if row[i]:
                            named.append((row[key[0]] if not self.composite else pk, f, str(row[i])))
                    out.append(item)
                self.rows += len(out)
                yield _lines(out, label), len(out), named

    def _source(self) -> Generator[list[Any], None, None]:
        with contextlib.closing(self._instances() if self.by_instance else self._chunks()) as rows:
            try:
                yield from rows
            except (ArithmeticError, ValueError, TypeError) as error:
                raise BackupError(
                    f"A row of {self.plan.model._meta.label} after the first {self.rows} holds a "
                    f"value that Django cannot read: {error!r}"
                ) from error


def _no_queryset() -> Any:
    from .registry import ModelBackup

    return ModelBackup.get_queryset


def _lines(items: list[Any], label: str) -> bytes:
    encode = _encode
    try:
        return ("\n".join(map(encode, items)) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate, which JSON can say only as an escape.
        return ("\n".join(map(_encode_ascii, items)) + "\n").encode("ascii")
    except TypeError as error:
        for item in items:
            try:
                encode(item)
            except TypeError:
                raise BackupError(f"{label} with pk {item['pk']!r}: {error}") from error
        raise
