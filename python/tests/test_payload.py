"""The payload by itself: a tar that other tools read, and rows that Django's own commands read."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import tarfile

import pytest
from django.core import serializers
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.serializers.python import Serializer
from django.db import connections, models, transaction

import dbs
from dbs import create_backup, restore_backup
from dbs.discovery import discover
from dbs.dump import RowDumper, encode_default
from dbs.natural import NaturalKeys
from tests.test_fidelity import everything, make_relations, wipe
from tests.zoo import models as zoo

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

KDF = {"kdf": (1, 64, 1)}


def make(using):
    make_relations(using)
    row = zoo.Upload.objects.using(using).create()
    row.file.save("größe.txt", ContentFile(b"content" * 1000))
    row.memory.save("m.txt", ContentFile(b"memory"))
    blob = create_backup("x", using=using, **KDF)
    return blob, dbs.open(blob).unlock("x").reader().read()


def test_the_tar_is_a_tar():
    blob, payload = make("default")
    with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
        names = tar.getnames()
        meta = json.load(tar.extractfile("dbs/meta.json"))
        content = tar.extractfile("files/storage/default/up/größe.txt").read()
    assert names[0] == "dbs/meta.json" and names[-1] == "dbs/summary.json"
    assert content == b"content" * 1000
    assert [m["model"] for m in meta["models"]] == [p.label for p in discover().plans]
    assert len(payload) % 512 == 0


def test_the_index_leads_to_the_members():
    blob, payload = make("default")
    entries = dbs.open(blob).unlock("x").entries()
    with tarfile.open(fileobj=io.BytesIO(payload)) as tar:
        members = tar.getmembers()
    assert [e["path"].decode() for e in entries] == [m.name for m in members]
    unlocked = dbs.open(blob).unlock("x")
    for entry, member in zip(entries, members):
        assert entry["size"] == member.size and entry["mode"] == member.mode
        assert entry["mtime"] == int(member.mtime) or entry["mtime_ns"]
        piece = unlocked.read_at(entry["offset"], entry["length"])
        with tarfile.open(fileobj=io.BytesIO(piece + bytes(1024))) as tar:
            (only,) = tar.getmembers()
            assert only.name == member.name
    assert sum(e["length"] for e in entries) == len(payload) - 1024


def test_loaddata_reads_the_rows(tmp_path):
    blob, payload = make("default")
    zoo.Kitchen.objects.create(json=None, binary=b"\0\xff", text="ü")
    blob = create_backup("x", **KDF)
    before = everything("default")
    with tarfile.open(fileobj=io.BytesIO(dbs.open(blob).unlock("x").reader().read())) as tar:
        tar.extractall(tmp_path, filter="data")
    with transaction.atomic():
        wipe("default")
    rows = sorted(str(p) for p in (tmp_path / "rows").iterdir() if p.stat().st_size)
    call_command("loaddata", *rows, verbosity=0)
    assert everything("default") == before


def test_the_short_way_says_what_django_says(using):
    """Rows are read as tuples where that is the same as reading instances: it is."""
    make(using)
    zoo.Kitchen.objects.using(using).create(
        binary=b"abc", json={"a": 1}, uuid="12345678123456781234567812345678", ip="::1",
        duration=dt.timedelta(3, 5, 7), file="x/y", decimal="1.5", time="01:02:03.000004",
    )
    scope = discover(using)
    checked = 0
    for plan in scope.plans:
        ours = []
        for lines, _, _ in RowDumper(plan, using, NaturalKeys(using, scope.labels)).chunks():
            ours += map(json.loads, lines.splitlines())
        natural = {
            f.name
            for f in plan.model._meta.local_concrete_fields
            if NaturalKeys(using, scope.labels).applies_to(f)
        }
        serializer = Serializer()
        rows = models.QuerySet(model=plan.model, using=using).order_by("pk")
        theirs = json.loads(json.dumps(serializer.serialize(rows), default=encode_default))
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert a["model"] == b["model"] and a["pk"] == b["pk"]
            for name, value in a["fields"].items():
                if name not in natural:
                    assert value == b["fields"][name], (plan.label, name, value, b["fields"][name])
                    checked += 1
    assert checked > 50


def test_from_one_database_to_another():
    if "postgres" not in connections.databases:
        pytest.skip("postgres is not to be had on this machine")
    make_relations("default")
    labels = [p.label for p in discover("default").plans]
    wanted = {label: rows for label, rows in everything("default").items()}
    blob = create_backup("x", **KDF)
    report = restore_backup(blob, "x", using="postgres")
    assert {label: report.models[label].rows for label in labels} == {
        label: len(rows) for label, rows in wanted.items()
    }

    def as_json(using, model):
        rows = models.QuerySet(model=model, using=using).order_by("pk")
        fields = [f.name for f in model._meta.local_concrete_fields if f.name != "content_type"]
        return serializers.serialize("json", rows, fields=fields)

    for plan in discover("default").plans:
        if plan.label in ("auth.group_permissions", "auth.user_user_permissions"):
            continue
        assert as_json("default", plan.model) == as_json("postgres", plan.model), plan.label


def test_payloads_that_lie():
    """Whoever has the passphrase can write anything; what cannot be understood is refused."""
    def backup(members):
        buffer = io.BytesIO()
        with dbs.Writer(buffer, "x", kdf=(1, 64, 1), media_type="application/x-tar") as writer:
            with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                for name, data in members:
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        return buffer.getvalue()

    def meta(**changes):
        base = {"format": 1, "created": "", "django": "",
                "models": [{"model": "zoo.tag", "rows": 1}]}
        return "dbs/meta.json", json.dumps({**base, **changes}).encode()

    end = ("dbs/summary.json", b"{}")
    row = b'{"model":"zoo.tag","pk":1,"fields":{"name":"x"}}\n'
    lies = [
        [],
        [("other", b"")],
        [("dbs/meta.json", b"not json")],
        [("dbs/meta.json", b"[]")],
        [meta(format=2), end],
        [meta(models=5), end],
        [meta()],
        [meta(), end],
        [meta(), ("rows/zoo.tag.jsonl", row + row.replace(b"1", b"2")), end],
        [meta(), ("rows/zoo.tag.jsonl", b"not json\n"), end],
        [meta(), ("rows/zoo.tag.jsonl", b"5\n"), end],
        [meta(), ("rows/zoo.tag.jsonl", b'{"pk":1}\n'), end],
        [meta(), ("rows/zoo.tag.jsonl", b'{"pk":1,"fields":[]}\n'), end],
        [meta(), ("rows/zoo.tag.jsonl", row.replace(b"1", b'"abc"')), end],
        [meta(), ("rows/zoo.nothing.jsonl", row), end],
        [meta(), ("rows/zoo.tag.jsonl", row.replace(b"name", b"nome")), end],
    ]
    for members in lies:
        with pytest.raises(dbs.RestoreError):
            restore_backup(backup(members), "x")
        assert not zoo.Tag.objects.exists()
    restore_backup(backup([meta(), ("rows/zoo.tag.jsonl", row), end]), "x")
    assert zoo.Tag.objects.get().name == "x"
    with pytest.raises(dbs.RestoreError, match="dbs restore"):
        restore_backup(backup([("some/file", b"content")]), "x")
    for junk in (b"DBSPAY01", b"DBSPAY01\0\0\0\x05{}", b"DBSPAY02", b"DBSPAY02H\0\0\0\2{}",
                 b"DBSPAY02H\xff\xff\xff\xff", b"DBSPAY01" + os.urandom(1000)):
        buffer = io.BytesIO()
        with dbs.Writer(buffer, "x", kdf=(1, 64, 1)) as writer:
            writer.write(junk)
        with pytest.raises(dbs.RestoreError):
            restore_backup(buffer.getvalue(), "x")
