"""Generated values of every field type come back equal, column by column."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

import pytest
from django.db import models, transaction
from django.db.models.expressions import Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dbs import create_backup, restore_backup
from tests.test_fidelity import table
from tests.zoo.models import Kitchen

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

UTC = dt.timezone.utc
# PostgreSQL stores no U+0000, and no encoding has lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
    | st.floats(-1e15, 1e15, allow_nan=False).map(lambda f: round(f, 3)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NULL = Value(None, models.JSONField())


def maybe(strategy):
    return st.none() | strategy


def json_or_nulls(full):
    some = JSON.map(lambda value: NULL if value is None else value)
    return some if full else maybe(some)


ROW = st.fixed_dictionaries(
    {
        "big": maybe(st.integers(-(2**63), 2**63 - 1)),
        "binary": maybe(st.binary(max_size=300)),
        "boolean": maybe(st.booleans()),
        "char": maybe(TEXT),
        "date": maybe(st.dates()),
        "moment": maybe(
            st.datetimes(dt.datetime(2, 1, 1), dt.datetime(9998, 12, 30), timezones=st.just(UTC))
        ),
        "decimal": maybe(
            st.decimals(-10**5, 10**5, places=8, allow_nan=False, allow_infinity=False)
        ),
        "duration": maybe(st.timedeltas(dt.timedelta(days=-10**6), dt.timedelta(days=10**6))),
        "float": maybe(st.floats(allow_nan=False, allow_infinity=False)),
        "ip": maybe(st.ip_addresses().map(str)),
        "integer": maybe(st.integers(-(2**31), 2**31 - 1)),
        "json": json_or_nulls(False),
        "json_full": json_or_nulls(True),
        "small": maybe(st.integers(-(2**15), 2**15 - 1)),
        "text": maybe(TEXT),
        "time": maybe(st.times()),
        "uuid": maybe(st.uuids()),
        "slug": maybe(TEXT.map(lambda t: t[:50])),
    }
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(ROW, min_size=1, max_size=6))
def test_values_come_back_equal(using, rows):
    if using == "mariadb":
        # It takes no UUID of a variant that RFC 9562 does not have.
        for row in rows:
            row["uuid"] = row["uuid"] and uuid.UUID(int=row["uuid"].int, version=4)
    all_rows = models.QuerySet(model=Kitchen, using=using)
    with transaction.atomic(using=using):
        all_rows._raw_delete(using)
        for row in rows:
            all_rows.create(**row)
    before = table(Kitchen, using)
    blob = create_backup("x", using=using, models=[Kitchen], kdf=(1, 8, 1), verify=False,
                         threads=1)
    all_rows._raw_delete(using)
    restore_backup(blob, "x", using=using)
    assert table(Kitchen, using) == before
    # And once more over rows that are there.
    restore_backup(blob, "x", using=using)
    assert table(Kitchen, using) == before


@given(st.decimals(allow_nan=False, allow_infinity=False), st.timedeltas(), st.datetimes())
@settings(max_examples=200, deadline=None)
def test_encoding_loses_nothing(number, duration, moment):
    """Decimals, durations and times through JSON as Django's fields read them back."""
    import json

    from dbs.dump import encode_default

    document = json.loads(
        json.dumps([number, duration, moment, moment.replace(tzinfo=UTC), moment.time()],
                   default=encode_default)
    )
    assert decimal.Decimal(document[0]) == number
    fields = [models.DurationField(), models.DateTimeField(), models.DateTimeField(),
              models.TimeField()]
    back = [f.to_python(v) for f, v in zip(fields, document[1:])]
    assert back == [duration, moment, moment.replace(tzinfo=UTC), moment.time()]
