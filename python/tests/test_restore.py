"""What a restore does to a database that is not empty, and what it does when something is wrong."""

from __future__ import annotations

import io
import os

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import connections, models
from django.db.models import signals

from dbs import (
    MissingFiles,
    NotDbs,
    RestoreError,
    WrongPassphrase,
    create_backup,
    restore_backup,
    validate_backup,
)
from dbs.backup import write_backup
from tests.zoo.models import Authorship, Article, Node, Tag, Upload, UUIDKey, Watched

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

KDF = {"kdf": (1, 64, 1)}


def tags(using):
    return dict(Tag.objects.using(using).order_by("pk").values_list("pk", "name"))


def test_merge_is_the_default(using):
    rows = Tag.objects.using(using)
    rows.create(id=1, name="one")
    rows.create(id=2, name="two")
    blob = create_backup("x", using=using, **KDF)
    rows.filter(id=1).update(name="changed")
    rows.filter(id=2).delete()
    rows.create(id=3, name="three")
    report = restore_backup(blob, "x", using=using)
    assert tags(using) == {1: "one", 2: "two", 3: "three"}
    result = report.models["zoo.tag"]
    assert (result.rows, result.inserted, result.updated) == (2, 1, 1)


@pytest.mark.parametrize("watched", [False, True])
def test_links_that_were_made_again_are_merged(using, watched):
    """Taken away and made again, a link of a many-to-many field has another id."""
    one, two, three = (Tag.objects.using(using).create(name=n) for n in ("one", "two", "three"))
    article = Article.objects.using(using).create()
    other = Article.objects.using(using).create()
    article.tags.set([one, two])
    links = Article.tags.through.objects.using(using).order_by("pk")
    before = set(links.values_list("pk", "article_id", "tag_id"))
    blob = create_backup("x", using=using, **KDF)
    article.tags.clear()
    article.tags.set([two, one])
    other.tags.add(three)
    more = links.get(article=other)

    def receiver(**kwargs):
        pass

    if watched:
        signals.post_save.connect(receiver)
    try:
        restore_backup(blob, "x", using=using)
    finally:
        signals.post_save.disconnect(receiver)
    after = set(links.values_list("pk", "article_id", "tag_id"))
    assert after == before | {(more.pk, other.pk, three.pk)}


def test_a_chosen_model_brings_its_links(using):
    tag = Tag.objects.using(using).create(name="one")
    article = Article.objects.using(using).create()
    article.tags.add(tag)
    blob = create_backup("x", using=using, **KDF)
    article.tags.clear()
    tag.name = "kept"
    tag.save()
    report = restore_backup(blob, "x", using=using, models=["zoo.Article"])
    assert sorted(report.models) == ["zoo.article", "zoo.article_related", "zoo.article_tags"]
    assert [t.name for t in article.tags.all()] == ["kept"]


def test_flush_replaces(using):
    rows = Tag.objects.using(using)
    rows.create(id=1, name="one")
    blob = create_backup("x", using=using, **KDF)
    rows.all().delete()
    rows.create(id=9, name="one")
    with pytest.raises(RestoreError, match="zoo.Tag with pk 1 .*--flush"):
        restore_backup(blob, "x", using=using)
    assert tags(using) == {9: "one"}
    report = restore_backup(blob, "x", using=using, flush=True)
    assert tags(using) == {1: "one"}
    assert report.models["zoo.tag"].deleted == 1


def test_dry_run_changes_nothing(using):
    row = Upload.objects.using(using).create()
    row.file.save("a.txt", ContentFile(b"a"))
    Tag.objects.using(using).create(id=1, name="one")
    blob = create_backup("x", using=using, **KDF)
    Tag.objects.using(using).all().delete()
    row.file.storage.delete(row.file.name)
    before = sorted(os.listdir(row.file.storage.location))
    for flush in (False, True):
        report = restore_backup(blob, "x", using=using, dry_run=True, flush=flush)
        assert report.models["zoo.tag"].inserted == 1
        assert report.files_written == 1
        assert "would restore" in report.summary()
        assert tags(using) == {}
        assert sorted(os.listdir(row.file.storage.location)) == before
        assert not row.file.storage.exists(row.file.name)


def test_all_or_nothing(using, monkeypatch):
    """A row that cannot go in at the very end takes everything back, files as well."""
    row = Upload.objects.using(using).create()
    row.file.save("a.txt", ContentFile(b"a"))
    Tag.objects.using(using).create(id=1, name="one")
    Node.objects.using(using).create(id=5)
    Node.objects.using(using).create(id=6, parent_id=5)
    blob = create_backup("x", using=using, **KDF)
    Node.objects.using(using).all().delete()
    Tag.objects.using(using).all().delete()
    Upload.objects.using(using).all().delete()
    row.file.storage.delete(row.file.name)
    monkeypatch.setattr(
        "dbs.restore._Restore._check_constraints",
        lambda self: (_ for _ in ()).throw(RestoreError("stop")),
    )
    with pytest.raises(RestoreError, match="stop"):
        restore_backup(blob, "x", using=using)
    assert not Tag.objects.using(using).exists()
    assert not Node.objects.using(using).exists()
    assert not row.file.storage.exists(row.file.name)
    assert not [n for n in os.listdir(row.file.storage.location) if n.startswith(".dbs")]


def test_constraints_are_checked_at_the_end(using):
    person = UUIDKey.objects.using(using).create(name="p")
    article = Article.objects.using(using).create()
    Authorship.objects.using(using).create(article=article, author=person, share=1)
    blob = create_backup("x", using=using, **KDF)
    Authorship.objects.using(using).all().delete()
    UUIDKey.objects.using(using).all().delete()
    # The author is not restored with it.
    with pytest.raises(RestoreError, match="fit together|cannot be restored"):
        restore_backup(blob, "x", using=using, models=[Authorship])
    assert not Authorship.objects.using(using).exists()
    restore_backup(blob, "x", using=using, models=[Authorship, UUIDKey])
    assert Authorship.objects.using(using).get().author == person


def test_flush_settles_rows_outside_the_backup(using):
    from django.contrib.admin.models import LogEntry

    old = User.objects.using(using).create(username="old")
    blob = create_backup("x", using=using, **KDF)
    new = User.objects.using(using).create(username="new")
    for user in (old, new):
        LogEntry.objects.using(using).create(
            user_id=user.pk, object_repr="x", action_flag=1, change_message=""
        )
    report = restore_backup(blob, "x", using=using, flush=True)
    assert [e.user_id for e in LogEntry.objects.using(using).all()] == [old.pk]
    assert any("admin.LogEntry" in note for note in report.notes)


def test_signal_receivers_see_each_row_raw(using):
    Watched.objects.using(using).create(id=1, name="a", kept="k")
    Watched.objects.using(using).create(id=2, name="b")
    from dbs import FieldType, ModelBackup, backup_registry

    @backup_registry.register(Watched)
    class WatchedBackup(ModelBackup):
        overrides = {"kept": FieldType.EXCLUDE}

    blob = create_backup("x", using=using, **KDF)
    Watched.objects.using(using).filter(id=2).delete()
    seen = []

    def receiver(sender, instance, raw, using, **kwargs):
        seen.append((instance.pk, raw, using))

    signals.post_save.connect(receiver, sender=Watched)
    try:
        restore_backup(blob, "x", using=using)
    finally:
        signals.post_save.disconnect(receiver, sender=Watched)
    assert seen == [(1, True, using), (2, True, using)]
    rows = Watched.objects.using(using)
    assert rows.get(id=1).kept == "k" and rows.get(id=2).kept == "default"


def test_errors_name_the_row(using):
    Tag.objects.using(using).bulk_create(Tag(id=i, name=f"t{i}") for i in range(1, 1001))
    blob = create_backup("x", using=using, **KDF)
    Tag.objects.using(using).all().delete()
    Tag.objects.using(using).create(id=5000, name="t777")
    with pytest.raises(RestoreError, match="zoo.Tag with pk 777 cannot be restored"):
        restore_backup(blob, "x", using=using)
    assert tags(using) == {5000: "t777"}


def test_rows_of_models_and_fields_that_are_gone(using, monkeypatch):
    Tag.objects.using(using).create(id=1, name="t")
    Watched.objects.using(using).create(id=1, name="a", kept="k")
    blob = create_backup("x", using=using, **KDF)
    from django.apps import apps
    from django.core.exceptions import FieldDoesNotExist

    real_model, real_field = apps.get_model, Watched._meta.get_field

    def no_tag(label, *args, **kwargs):
        if label == "zoo.tag":
            raise LookupError(label)
        return real_model(label, *args, **kwargs)

    def no_kept(name):
        if name == "kept":
            raise FieldDoesNotExist(name)
        return real_field(name)

    with monkeypatch.context() as patch:
        patch.setattr(apps, "get_model", no_tag)
        with pytest.raises(RestoreError, match="zoo.tag.*--skip-unknown"):
            restore_backup(blob, "x", using=using)
    monkeypatch.setattr(Watched._meta, "get_field", no_kept)
    with pytest.raises(RestoreError, match="no field 'kept'"):
        restore_backup(blob, "x", using=using)
    monkeypatch.setattr(apps, "get_model", no_tag)
    Watched.objects.using(using).all().delete()
    report = restore_backup(blob, "x", using=using, skip_unknown=True)
    assert "zoo.tag (no such model)" in report.skipped
    assert Watched.objects.using(using).get().name == "a"


def test_wrong_passphrase_and_foreign_files():
    blob = create_backup("right", **KDF)
    with pytest.raises(WrongPassphrase):
        restore_backup(blob, "wrong")
    with pytest.raises(WrongPassphrase):
        validate_backup(blob, "wrong")
    for junk in (b"", b"x", bytes(100_000), b"not a backup\n" * 10_000):
        with pytest.raises(NotDbs):
            restore_backup(junk, "x")


def test_damage_is_healed_and_reported():
    Tag.objects.create(id=1, name="t")
    blob = bytearray(create_backup("x", **KDF))
    whole = bytes(blob)
    assert validate_backup(whole, "x").clean
    blob[600:1600] = bytes(1000)
    report = validate_backup(bytes(blob), "x")
    assert report.ok and not report.clean and report.healed
    assert "can be recovered" in report.summary()
    Tag.objects.all().delete()
    result = restore_backup(bytes(blob), "x")
    assert result.healed is True
    assert tags("default") == {1: "t"}
    # Copy A is whole, but the file is not.
    for other in (whole[:-3000], whole + bytes(700)):
        assert restore_backup(other, "x").healed is True
    assert restore_backup(whole, "x").healed is False


def test_a_snapshot_is_one_moment():
    """Rows that others write while a backup runs are not in it (PostgreSQL)."""
    if "postgres" not in connections.databases:
        pytest.skip("postgres is not to be had on this machine")
    import threading

    from dbs.backup import write_backup
    from dbs.checking import list_backup
    import io

    Tag.objects.using("postgres").create(id=1, name="before")

    def other():
        Tag.objects.using("postgres").create(id=2, name="meanwhile")
        Article.objects.using("postgres").create(id=2)
        connections["postgres"].close()

    started = []

    def progress(kind, label, done, total):
        if not started:
            thread = threading.Thread(target=other)
            started.append(thread)
            thread.start()
            thread.join()

    buffer = io.BytesIO()
    report = write_backup(buffer, "x", using="postgres", progress=progress, **KDF)
    assert report.snapshot and started
    rows = list_backup(buffer.getvalue(), "x").rows
    assert rows["zoo.tag"] == 1 and rows["zoo.article"] == 0
    assert models.QuerySet(model=Tag, using="postgres").count() == 2


def test_models_of_another_database_are_told():
    """A backup is of one database: what the routers keep elsewhere must not be missed in silence."""
    if "postgres" not in connections.databases:
        pytest.skip("postgres is not to be had on this machine")
    report = write_backup(io.BytesIO(), "x", **KDF)
    (note,) = [note for note in report.notes if "--database" in note]
    assert note.startswith("pgzoo.") and "in the database 'postgres'" in note
    assert not [n for n in write_backup(io.BytesIO(), "x", using="postgres", **KDF).notes
                if "--database" in n]


def test_references_to_models_that_are_left_out_are_told(settings):
    from dbs.discovery import discover

    assert not [note for note in discover().notes if "refers to" in note]
    settings.DBS_EXCLUDE_MODELS = ["zoo.TextKey"]
    notes = [note for note in discover().notes if "refers to" in note]
    assert len(notes) == 1 and "zoo.PointsToText.to refers to zoo.TextKey" in notes[0]


def test_an_existing_file_is_replaced_by_a_verified_one_only(tmp_path, monkeypatch):
    path = tmp_path / "backup.dbs"
    path.write_bytes(b"the only one")
    Upload.objects.create(file="gone.txt")
    with pytest.raises(MissingFiles):
        create_backup("x", output=path, **KDF)
    assert path.read_bytes() == b"the only one"
    Upload.objects.all().delete()
    with monkeypatch.context() as patch:
        patch.setattr("dbs.backup._verify", lambda *args: (_ for _ in ()).throw(OSError("no")))
        with pytest.raises(OSError):
            create_backup("x", output=path, **KDF)
    assert path.read_bytes() == b"the only one"
    with pytest.raises(FileExistsError):
        create_backup("x", output=path, overwrite=False, **KDF)
    backup = create_backup("x", output=path, **KDF)
    assert validate_backup(backup, "x").clean and os.listdir(tmp_path) == ["backup.dbs"]
