"""A backup damaged beyond repair gives back everything that is not lost, and says what is."""

from __future__ import annotations

import io
import os

import pytest
from django.core.files.base import ContentFile

import dbs
from dbs import create_backup, restore_backup
from tests.test_commands import run
from tests.zoo.models import Article, Authorship, Node, Tag, Upload, UUIDKey

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def lose(blob: bytes, number: int) -> bytes:
    """The backup with one data block gone: zeros in both copies."""
    blob = bytearray(blob)
    for at in range(0, len(blob), 4096):
        kind, block = blob[at + 5], int.from_bytes(blob[at + 8 : at + 16], "little")
        if blob[at : at + 4] == b"\x89DBS" and kind == 0 and block == number:
            blob[at : at + 4096] = bytes(4096)
    return bytes(blob)


def test_the_description_is_lost(tmp_path, settings):
    """It stands at the start of the payload; the index says enough for rows and files."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").write_bytes(os.urandom(2_000_000))
    settings.DBS_FILE_ROOTS = [str(root)]
    rows = [Tag(id=i, name=f"{i} {os.urandom(30).hex()}") for i in range(1, 15_001)]
    Tag.objects.bulk_create(rows)
    row = Upload.objects.create()
    row.private.save("p.bin", ContentFile(b"private"))
    blob = create_backup("x", kdf=(1, 64, 1), compress=False)
    Tag.objects.all().delete()
    Upload.objects.all().delete()
    row.private.storage.delete(row.private.name)
    path = tmp_path / "b.dbs"
    path.write_bytes(lose(blob, 0))
    code, out, err = run("dbs_restore", str(path), "--salvage", "-p", "x")
    assert code == 3, err
    assert "the description of the backup is lost" in err
    assert "files/root/0: 2 entries of a directory whose name is lost" in err
    assert "rows of zoo.tag: lost" in err
    back = dict(Tag.objects.values_list("id", "name"))
    assert 2_000 < len(back) < 15_000
    assert back.items() <= {r.id: r.name for r in rows}.items()
    assert Upload.objects.get().private.read() == b"private"


def test_salvage(tmp_path, monkeypatch):
    monkeypatch.setenv("DBS_PASSPHRASE", "x")
    Tag.objects.bulk_create(Tag(id=i, name=f"{i} {os.urandom(30).hex()}") for i in range(1, 20_001))
    person = UUIDKey.objects.create(name="p")
    Authorship.objects.create(article=Article.objects.create(), author=person, share=1)
    root = Node.objects.create()
    Node.objects.create(parent=root)
    row = Upload.objects.create()
    row.file.save("small.txt", ContentFile(b"small"))
    row.private.save("large.bin", ContentFile(os.urandom(3_000_000)))
    names = {Tag: dict(Tag.objects.values_list("id", "name"))}
    blob = create_backup("x", kdf=(1, 64, 1), compress=False)
    for model in (Authorship, UUIDKey, Article, Tag, Node, Upload):
        model.objects.all().delete()
    row.file.storage.delete(row.file.name)
    row.private.storage.delete(row.private.name)
    entries = dbs.open(blob).unlock("x").entries()
    tags = next(e for e in entries if e["path"] == b"rows/zoo.tag.jsonl")
    large = next(e for e in entries if b"large" in e["path"])
    capacity = 223 * 4048 - 32
    lost = lose(blob, (tags["offset"] + 900_000) // capacity)
    lost = lose(lost, (large["offset"] + 1_500_000) // capacity)
    path = tmp_path / "b.dbs"
    path.write_bytes(lost)
    assert run("dbs_validate", str(path))[0] == 3
    code, out, err = run("dbs_restore", str(path))
    assert code == 3 and "--salvage" in err and not Tag.objects.exists()
    code, out, err = run("dbs_restore", str(path), "--salvage")
    assert code == 3, err
    assert "rows of zoo.tag: lost" in err and "large.bin: lost" in err
    back = dict(Tag.objects.values_list("id", "name"))
    assert 5_000 < len(back) < 20_000
    assert all(names[Tag][pk] == name for pk, name in back.items())
    assert Upload.objects.get().file.read() == b"small"
    assert not row.private.storage.exists(row.private.name)
    report = restore_backup(io.BytesIO(blob), "x", salvage=True)
    assert report.skipped == [] and Tag.objects.count() == 20_000
    assert row.private.storage.exists(row.private.name)
