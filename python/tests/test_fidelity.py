"""What goes into a backup comes out again, column by column."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid

import django
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models
from django.db.models.expressions import Value

from dbs import create_backup, restore_backup
from dbs.discovery import discover
from dbs.dump import is_generated
from tests.zoo import models as zoo

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

UTC = dt.timezone.utc


def table(model, using):
    """The rows of a table as the database has them, and JSON text as text."""
    columns = [f for f in model._meta.local_concrete_fields]
    quote = connections[using].ops.quote_name
    names = []
    for f in columns:
        name = quote(f.column)
        if isinstance(f, models.JSONField) and using == "postgres":
            name += "::text"
        names.append(name)
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM {quote(model._meta.db_table)}")
        rows = cursor.fetchall()
    return sorted(
        (tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in rows), key=repr
    )


def everything(using):
    return {plan.label: table(plan.model, using) for plan in discover(using).plans}


def wipe(using):
    for plan in reversed(discover(using).plans):
        with connections[using].constraint_checks_disabled():
            models.QuerySet(model=plan.model, using=using)._raw_delete(using)


def round_trip(using, passphrase="secret"):
    before = everything(using)
    blob = create_backup(passphrase, using=using, kdf=(1, 64, 1))
    from django.db import transaction

    with transaction.atomic(using=using):
        wipe(using)
    assert not any(everything(using).values())
    report = restore_backup(blob, passphrase, using=using)
    assert everything(using) == before
    return report


EXTREMES = [
    {},
    {
        "big": 2**63 - 1,
        "binary": bytes(range(256)),
        "boolean": True,
        "char": "x" * 200,
        "date": dt.date.max,
        "moment": dt.datetime(9999, 12, 30, 23, 59, 59, 999999, UTC),
        "decimal": decimal.Decimal("99999999999999999999.9999999999"),
        "duration": dt.timedelta(days=99999999, microseconds=999999),
        "email": "a@example.org",
        "file_path": "/some/where",
        "float": 1.7976931348623157e308,
        "ip": "2001:db8::1",
        "integer": 2**31 - 1,
        "json": {"a": [1, 2.5, None, True, "ü\u2028", {"b": {}}], "n": 10**20},
        "json_full": [],
        "json_encoded": {"when": dt.datetime(2024, 2, 29, 1, 2, 3, 456789, UTC)},
        "positive_big": 2**63 - 1,
        "positive": 2**31 - 1,
        "positive_small": 32767,
        "slug": "süß-漢字",
        "small": 32767,
        "text": "line\r\n\ttab \u2028 emoji 😀 \"quoted\" \\ and a very long " + "y" * 100_000,
        "time": dt.time(23, 59, 59, 999999),
        "url": "https://example.org/?q=1#x",
        "uuid": uuid.UUID(int=2**128 - 1),
    },
    {
        "big": -(2**63),
        "binary": b"",
        "boolean": False,
        "char": "",
        "date": dt.date(1, 1, 1),
        "moment": dt.datetime(1000, 1, 2, 0, 0, 0, 1, UTC),
        "decimal": decimal.Decimal("-99999999999999999999.9999999999"),
        "duration": -dt.timedelta(days=99999999, microseconds=1),
        "float": 5e-324,
        "ip": "192.0.2.7",
        "integer": -(2**31),
        "json": "a string",
        "json_full": 0,
        "positive_big": 0,
        "positive": 0,
        "positive_small": 0,
        "small": -32768,
        "text": "",
        "time": dt.time(0, 0, 0, 1),
        "uuid": uuid.UUID(int=0),
    },
    {"json": Value(None, models.JSONField()), "json_full": Value(None, models.JSONField())},
    {"json": [], "json_full": {"nested": None}, "float": -0.1, "decimal": decimal.Decimal("0")},
    {"json": False, "json_full": "", "duration": dt.timedelta(0), "boolean": False},
    # The hour that happens twice when summer time ends in Vienna.
    {"moment": dt.datetime(2024, 10, 27, 0, 30, 0, 123456, UTC)},
    {"moment": dt.datetime(2024, 10, 27, 1, 30, 0, 123456, UTC)},
]


def test_every_field_at_its_extremes(using):
    for values in EXTREMES:
        if using == "default" and "decimal" in values:
            # SQLite keeps fifteen digits.
            values = {**values, "decimal": values["decimal"].normalize() % 10**5}
        zoo.Kitchen.objects.using(using).create(**values)
    round_trip(using)


def test_json_null_and_sql_null_stay_apart(using):
    rows = zoo.Kitchen.objects.using(using)
    sql = rows.create(json=None).pk
    js = rows.create(json=Value(None, models.JSONField())).pk
    round_trip(using)
    assert rows.filter(json__isnull=True).get().pk == sql
    assert rows.filter(json=Value(None, models.JSONField())).get().pk == js


def make_relations(using):
    def new(model, **values):
        return model._base_manager.using(using).create(**values)

    root = new(zoo.Node)
    root.parent = root
    root.save(using=using)
    for i in range(5):
        new(zoo.Node, parent=root)
    hen = new(zoo.Chicken)
    egg = new(zoo.Egg, chicken=hen)
    hen.egg = egg
    hen.save(using=using)
    new(zoo.Egg)
    key = new(zoo.TextKey, code="a/ü b")
    name = new(zoo.UniqueName, name="by name")
    new(zoo.PointsToText, to=key, by_name=name)
    new(zoo.PointsToText, to=key)
    tags = [new(zoo.Tag, name=f"t{i}") for i in range(4)]
    people = [new(zoo.UUIDKey, name=f"p{i}") for i in range(3)]
    articles = [new(zoo.Article) for _ in range(3)]
    articles[0].tags.set(tags[:3])
    articles[0].tags.remove(tags[0])
    articles[1].tags.set(tags[2:])
    articles[0].related.add(articles[2])
    for i, person in enumerate(people):
        new(zoo.Authorship, article=articles[0], author=person, share=decimal.Decimal(i) / 4)
    place = new(zoo.Place, name="plain")
    new(zoo.Profile, place=place, text="profile")
    new(zoo.Restaurant, name="r", stars=2)
    new(zoo.Pizzeria, name="p", stars=1, ovens=3)
    new(zoo.PlaceProxy, name="through a proxy")
    new(zoo.SoftDeleted, hidden=True)
    new(zoo.SoftDeleted, hidden=False)
    new(zoo.Painted, colour="red")
    new(zoo.Painted, colour=None)
    types = ContentType.objects.db_manager(using)
    note = new(zoo.Note, content_type=types.get_for_model(zoo.Tag), object_id=tags[1].pk)
    group = Group.objects.using(using).create(name="editors")
    group.permissions.set(Permission.objects.using(using).order_by("codename")[:7])
    user = User.objects.using(using).create(username="u", password="!", date_joined=dt.datetime(
        2024, 1, 2, 3, 4, 5, 678901, UTC))
    user.groups.add(group)
    user.user_permissions.set(Permission.objects.using(using).order_by("-codename")[:3])
    if django.VERSION >= (5, 0):
        new(zoo.Computed, side=12)
    if django.VERSION >= (5, 2):
        for i in range(3):
            new(zoo.Composite, tenant=i, number=uuid.uuid4(), text=None if i else "x")
    return note


def test_relations_of_every_kind(using):
    make_relations(using)
    report = round_trip(using)
    assert report.healed is False
    # Once more over rows that are there, some of which are nothing but a key.
    before = everything(using)
    blob = create_backup("x", using=using, kdf=(1, 64, 1))
    assert restore_backup(blob, "x", using=using).rows == report.rows
    assert everything(using) == before
    assert report.models["zoo.softdeleted"].rows == 2
    assert "zoo.article_tags" in report.models
    assert "zoo.placeproxy" not in report.models
    assert "zoo.unmanaged" not in report.models


def test_unmanaged_models_are_noted():
    assert any("zoo.Unmanaged" in note for note in discover().notes)


def test_natural_keys_survive_other_ids(using):
    """Content types and permissions have other ids in another database."""
    make_relations(using)
    before = {
        p.natural_key() for g in Group.objects.using(using) for p in g.permissions.all()
    }
    blob = create_backup("x", using=using, kdf=(1, 64, 1))
    from django.db import transaction

    with transaction.atomic(using=using):
        wipe(using)
        # All of them go, and some come back with other ids.
        Permission.objects.using(using).all()._raw_delete(using)
        ContentType.objects.using(using).all()._raw_delete(using)
        ContentType.objects.clear_cache()
        ContentType.objects.using(using).create(app_label="zoo", model="kitchen")
        ContentType.objects.using(using).create(app_label="zoo", model="tag")
    restore_backup(blob, "x", using=using)
    note = zoo.Note.objects.using(using).get()
    assert note.content_type.natural_key() == ("zoo", "tag")
    after = {p.natural_key() for g in Group.objects.using(using) for p in g.permissions.all()}
    assert after == before and len(before) == 7
    from django.core.management import call_command

    call_command("migrate", database=using, verbosity=0, run_syncdb=True)


def test_sequences_go_on_behind_the_last_id(using):
    rows = zoo.Tag.objects.using(using)
    rows.create(id=5000, name="far")
    round_trip(using)
    assert rows.create(name="next").pk > 5000


def test_generated_columns_are_left_to_the_database(using):
    if django.VERSION < (5, 0):
        pytest.skip("generated fields came with Django 5.0")
    row = zoo.Computed.objects.using(using).create(side=9)
    row.refresh_from_db()
    assert is_generated(zoo.Computed._meta.get_field("area"))
    round_trip(using)
    assert zoo.Computed.objects.using(using).get().area == 81


def test_many_rows_come_in_several_parts(using, monkeypatch):
    monkeypatch.setattr("dbs.backup.PART", 1000)
    monkeypatch.setattr("dbs.dump.CHUNK", 100)
    zoo.Tag.objects.using(using).bulk_create(zoo.Tag(name=f"tag {i}") for i in range(1111))
    round_trip(using)


def test_postgres_types():
    if "postgres" not in connections.databases:
        pytest.skip("postgres is not to be had on this machine")
    from django.db.backends.postgresql.psycopg_any import DateTimeTZRange, NumericRange

    from tests.pgzoo.models import PgKitchen

    rows = PgKitchen.objects.using("postgres")
    rows.create()
    rows.create(
        numbers=[1, None, -3],
        moments=[dt.datetime(2024, 2, 29, 1, 2, 3, 456789, UTC)],
        texts=[["a", "ü"], ["", '"']],
        span=NumericRange(1, None),
        period=DateTimeTZRange(dt.datetime(2024, 1, 1, tzinfo=UTC), None, "[)"),
    )
    rows.create(numbers=[], texts=[], span=NumericRange(empty=True))
    round_trip("postgres")
