"""Files of a backup: of storages, at paths, and in roots."""

from __future__ import annotations

import os
import stat

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages

from dbs import (
    FieldType,
    MissingFiles,
    ModelBackup,
    RestoreError,
    backup_registry,
    create_backup,
    restore_backup,
)
from dbs.backup import write_backup
from tests.zoo.models import Upload

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

KDF = {"kdf": (1, 64, 1)}


def put(path, data, mode=0o640, mtime_ns=1_700_000_000_123_456_789):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def picture(root):
    """Everything about a tree that a backup must bring back."""
    found = {}
    for directory, folders, files in os.walk(root):
        for name in [".", *folders, *files]:
            path = os.path.normpath(os.path.join(directory, name))
            status = os.lstat(path)
            content = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, root)] = (
                stat.filemode(status.st_mode), status.st_mtime_ns, content
            )
    return found


def test_files_of_every_kind_of_storage(settings):
    row = Upload.objects.create()
    row.file.save("größe 漢字😀.txt", ContentFile(b"one" * 1000))
    row.private.save("secret.bin", ContentFile(bytes(range(256)) * 40_000))
    row.memory.save("in memory.dat", ContentFile(b""))
    other = Upload.objects.create(file=row.file.name)
    os.chmod(row.file.path, 0o604)
    os.utime(row.file.path, ns=(1, 1_600_000_000_987_654_321))
    before = {name: picture(os.path.join(settings.BASE, name)) for name in ("media", "private")}
    blob = create_backup("x", **KDF)
    for storage in (row.file.storage, row.private.storage, row.memory.storage):
        for field in (row.file, row.private, row.memory):
            storage.delete(field.name)
    Upload.objects.all().delete()
    report = restore_backup(blob, "x")
    assert report.files == 3
    row = Upload.objects.get(pk=row.pk)
    assert Upload.objects.get(pk=other.pk).file.name == row.file.name
    for name, tree in before.items():
        after = picture(os.path.join(settings.BASE, name))
        # Only folders' times may differ: the test's own deletions changed them.
        assert {k: v for k, v in after.items() if v[2] is not None} == {
            k: v for k, v in tree.items() if v[2] is not None
        }
    assert storages["memory"].open(row.memory.name).read() == b""


def test_roots_keep_everything(settings, tmp_path):
    root = tmp_path / "root"
    put(f"{root}/a/deep/er/file.bin", os.urandom(5_000_001), 0o600)
    put(f"{root}/run.sh", b"#!/bin/sh\n", 0o755)
    put(f"{root}/empty", b"", 0o444)
    put(f"{root}/{'long name ' * 20}/{'x' * 200}", b"long")
    put(os.fsencode(f"{root}/") + b"not utf-8 \xff\xfe", b"raw name")
    os.makedirs(f"{root}/no files/here", mode=0o750)
    os.symlink("/etc/passwd", f"{root}/outward")
    os.symlink("a/deep", f"{root}/inward")
    os.symlink("nowhere", f"{root}/dangling")
    os.utime(f"{root}/inward", ns=(5, 1_500_000_000_000_000_001), follow_symlinks=False)
    os.mkfifo(f"{root}/pipe")
    os.utime(f"{root}/a", ns=(5, 1_400_000_000_000_000_000))
    settings.DBS_FILE_ROOTS = [str(root)]
    report = write_backup(tmp_path / "b.dbs", "x", **KDF)
    assert any("pipe" in note for note in report.notes)
    os.unlink(f"{root}/pipe")
    os.utime(root, ns=(5, 1_300_000_000_000_000_000))
    blob = create_backup("x", **KDF)
    before = picture(root)
    import shutil

    shutil.rmtree(root)
    restore_backup(blob, "x")
    assert picture(root) == before


def test_columns_with_paths(settings, tmp_path):
    @backup_registry.register(Upload)
    class UploadBackup(ModelBackup):
        overrides = {"path": FieldType.FILE_PATH, "token": FieldType.EXCLUDE}

    path = tmp_path / "ext" / "ñ.dat"
    put(path, b"external")
    row = Upload.objects.create(path=str(path), token="secret")
    # Nothing declares the directory: the backup says so already, and not only the restore.
    report = write_backup(tmp_path / "b.dbs", "x", **KDF)
    (note,) = [note for note in report.notes if "--restore-root" in note]
    assert str(path.parent) in note
    blob = (tmp_path / "b.dbs").read_bytes()
    path.unlink()
    with pytest.raises(RestoreError, match=f"--restore-root {path.parent} .*DBS_RESTORE_ROOTS"):
        restore_backup(blob, "x")
    settings.DBS_RESTORE_ROOTS = [str(tmp_path)]
    path.write_bytes(b"external")
    notes = write_backup(tmp_path / "c.dbs", "x", **KDF).notes
    assert not [note for note in notes if "--restore-root" in note]
    path.unlink()
    restore_backup(blob, "x")
    assert path.read_bytes() == b"external"
    # An excluded column keeps its value in a row that is there, and has its default in a new one.
    assert Upload.objects.get(pk=row.pk).token == "secret"
    Upload.objects.all().delete()
    restore_backup(blob, "x")
    assert Upload.objects.get(pk=row.pk).token == "fresh"
    # On another machine the directory is another one, and the column says so.
    moved = tmp_path / "moved"
    report = restore_backup(blob, "x", path_map={str(tmp_path / "ext"): str(moved)})
    assert (moved / "ñ.dat").read_bytes() == b"external"
    assert Upload.objects.get(pk=row.pk).path == str(moved / "ñ.dat")
    assert report.files == 1


def test_missing_files_stop_the_backup_and_name_the_row(tmp_path):
    row = Upload.objects.create(file="gone/for ever.txt")
    pipe = os.path.join(default_storage.location, "pipe")
    os.mkfifo(pipe)
    Upload.objects.create(file="pipe")
    Upload.objects.create(file="../outside")
    with pytest.raises(MissingFiles) as caught:
        write_backup(tmp_path / "b.dbs", "x", **KDF)
    text = str(caught.value)
    assert f"pk={row.pk} file" in text and "gone/for ever.txt" in text
    assert "not a regular file" in text and "--allow-missing-files" in text
    assert os.listdir(tmp_path) == []
    report = write_backup(tmp_path / "b.dbs", "x", allow_missing_files=True, **KDF)
    assert len(report.missing_files) == 3
    restored = restore_backup(tmp_path / "b.dbs", "x")
    assert sum("was missing" in note for note in restored.notes) == 3


def test_nothing_leaves_its_place(settings, tmp_path):
    """Whatever a backup says: `..`, absolute names, links that lead out."""
    from dbs import container
    from dbs.tarstream import Member, TarWriter

    import io
    import json
    import tarfile

    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    root.mkdir()
    settings.DBS_FILE_ROOTS = [str(root)]

    def backup(members, roots=(str(root),)):
        buffer = io.BytesIO()
        options = container.WriterOptions(kdf=(1, 64, 1))
        with container.Writer(buffer, "x", options, "test") as writer:
            tar = TarWriter(writer)
            meta = {"format": 1, "created": "", "django": "", "models": [], "roots": list(roots)}
            tar.add_bytes("dbs/meta.json", json.dumps(meta).encode(), 0)
            for member, data, extra in members:
                member.size = len(data)
                tar.add(member, [data], extra)
            tar.add_bytes("dbs/summary.json", b"{}", 0)
            tar.close()
            writer.finish()
        return buffer.getvalue()

    hostile = [
        [(Member("files/storage/default/../../escape"), b"!", None)],
        [(Member("files/storage/default/x"), b"!", {"DBS.name": "/etc/escape"})],
        [(Member("files/storage/default/x"), b"!", {"DBS.name": "../../escape"})],
        [(Member(f"files/path{outside}/escape"), b"!", None)],
        [(Member("files/root/0/../outside/escape"), b"!", None)],
        [(Member("files/root/0/x/../../outside/escape"), b"!", None)],
        [(Member("files/root/7/escape"), b"!", None)],
        [
            (Member("files/root/0/link", type=tarfile.SYMTYPE, linkname=str(outside)), b"", None),
            (Member("files/root/0/link/escape"), b"!", None),
        ],
        [
            (Member("files/root/0/link/escape"), b"!", None),
            (Member("files/root/0/link", type=tarfile.SYMTYPE, linkname=str(outside)), b"", None),
        ],
        [(Member("files/root/0/hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"), b"", None)],
        [(Member("files/storage/nobody/x"), b"!", None)],
        [(Member("files/elsewhere"), b"!", None)],
    ]
    for members in hostile:
        with pytest.raises(RestoreError):
            restore_backup(backup(members), "x")
        assert os.listdir(outside) == [], members
        assert os.listdir(root) == [], members
    with pytest.raises(RestoreError):
        restore_backup(backup([(Member("files/root/0/a"), b"!", None)], [str(outside)]), "x")
    # A link on the disk that leads out of the root.
    os.symlink(outside, root / "out")
    with pytest.raises(RestoreError):
        restore_backup(backup([(Member("files/root/0/out/escape"), b"!", None)]), "x")
    assert os.listdir(outside) == []
    assert os.listdir(root) == ["out"]


def test_choosing_files_and_models():
    one = Upload.objects.create()
    one.file.save("one.txt", ContentFile(b"1"))
    two = Upload.objects.create()
    two.private.save("two.txt", ContentFile(b"2"))
    blob = create_backup("x", **KDF)
    one.file.storage.delete(one.file.name)
    two.private.storage.delete(two.private.name)
    Upload.objects.all().delete()
    report = restore_backup(blob, "x", only_files=["*two*"])
    assert report.rows == 0 and report.files == 1
    assert not one.file.storage.exists(one.file.name)
    assert Upload.objects.count() == 0
    report = restore_backup(blob, "x", models=["zoo.upload"])
    assert report.rows == 2 and report.files == 2 and len(report.models) == 1
    with pytest.raises(RestoreError, match="no rows of zoo.nothing"):
        restore_backup(blob, "x", models=["zoo.nothing"])


def test_patterns_without_a_file_are_told():
    """A typing error must not pass for a restore."""
    row = Upload.objects.create()
    row.file.save("a.txt", ContentFile(b"from the backup"))
    blob = create_backup("x", **KDF)
    Upload.objects.all().delete()
    row.file.storage.delete(row.file.name)
    with pytest.raises(RestoreError, match="no file like b.txt"):
        restore_backup(blob, "x", models=[Upload], only_files=["*.txt", "b.txt"])
    assert not Upload.objects.exists() and not row.file.storage.exists(row.file.name)
    restore_backup(blob, "x", models=[Upload], only_files=["b.txt"], files=False)
    assert Upload.objects.exists()


def test_memory_does_not_grow_with_the_number_of_files(settings, tmp_path):
    """Neither making a backup nor restoring it remembers each file."""
    import tracemalloc

    root = tmp_path / "root"
    settings.DBS_FILE_ROOTS = [str(root)]
    peaks = []
    for number in (1_000, 3_000):
        for i in range(number):
            put(f"{root}/{i % 10}/{i}.txt", b"content %d" % i)
        path = tmp_path / f"{number}.dbs"
        tracemalloc.start()
        write_backup(path, "x", **KDF)
        made = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert restore_backup(path, "x").files == number
        peaks.append((made, tracemalloc.get_traced_memory()[1]))
        tracemalloc.stop()
    for few, many in zip(*peaks):
        assert many - few < 2_000_000, peaks
