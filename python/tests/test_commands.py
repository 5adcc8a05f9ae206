"""The management commands, as a person or cron runs them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import override_settings

from dbs import create_backup
from tests.zoo.models import Tag, Upload

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

KDF = {"kdf": (1, 64, 1)}


def run(*args, **options):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command(*args, stdout=out, stderr=err, **options)
    except SystemExit as stop:
        code = stop.code
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("DBS_PASSPHRASE", "from the environment")


def test_the_readme(tmp_path, monkeypatch):
    """Every command of the README, in its order."""
    monkeypatch.chdir(tmp_path)
    Tag.objects.create(id=1, name="t")
    assert run("dbs_backup", "backup.dbs")[0] == 0
    code, out, err = run("dbs_validate", "backup.dbs")
    assert code == 0 and "clean" in out
    monkeypatch.delenv("DBS_PASSPHRASE")
    code, out, err = run("dbs_validate", "backup.dbs")
    assert code == 0 and "not decrypted" in out
    code, out, err = run("dbs_validate", "backup.dbs", "-p", "from the environment")
    assert code == 0 and "; decrypted" in out and "Warning" in err
    assert "from the environment" not in out + err
    code, out, err = run("dbs_validate", "backup.dbs", "-p", "secret")
    assert code == 4 and "wrong passphrase" in err
    monkeypatch.setenv("DBS_PASSPHRASE", "from the environment")
    Tag.objects.all().delete()
    code, out, err = run("dbs_restore", "backup.dbs")
    assert code == 0 and Tag.objects.get().name == "t"
    code, out, err = run("dbs_list", "backup.dbs")
    assert code == 0 and "zoo.tag" in out


def test_passphrase_sources(tmp_path, monkeypatch):
    path = str(tmp_path / "b.dbs")
    word = tmp_path / "word"
    word.write_text("from a file\nsecond line\n")
    assert run("dbs_backup", path, passphrase_file=str(word))[0] == 0
    assert run("dbs_restore", path)[0] == 4
    assert run("dbs_restore", path, passphrase_file=str(word))[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("from a file\n"))
    assert run("dbs_restore", path, passphrase_stdin=True)[0] == 0
    monkeypatch.delenv("DBS_PASSPHRASE")
    code, out, err = run("dbs_restore", path)
    assert code == 2 and "$DBS_PASSPHRASE" in err
    code, out, err = run("dbs_restore", path, passphrase_file=str(tmp_path / "none"))
    assert code == 7 and err == f"{tmp_path / 'none'}: No such file or directory."
    word.write_bytes(b"\xff\n")
    code, out, err = run("dbs_restore", path, passphrase_file=str(word))
    assert code == 2 and "not UTF-8" in err
    monkeypatch.setattr(sys, "stdin", mock.Mock(isatty=lambda: True))
    monkeypatch.setattr("getpass.getpass", mock.Mock(side_effect=KeyboardInterrupt))
    assert run("dbs_restore", path) == (130, "", f"{path}: interrupted.")


def test_exit_codes_and_repair(tmp_path):
    Tag.objects.bulk_create(Tag(name=f"tag {i} {os.urandom(20).hex()}") for i in range(20_000))
    good = create_backup("from the environment", **KDF)
    path = tmp_path / "b.dbs"
    damaged = bytearray(good)
    damaged[4096 * 3 : 4096 * 6] = bytes(4096 * 3)
    path.write_bytes(damaged)
    code, out, err = run("dbs_validate", str(path))
    assert code == 1 and "dbs_repair" in err
    code, out, err = run("dbs_validate", str(path), "--json")
    document = json.loads(out)
    assert code == 1 and document["status"] == "recoverable" and document["decrypted"]
    code, out, err = run("dbs_restore", str(path))
    assert code == 0 and "repaired" in out and "dbs_repair" in err
    fixed = str(tmp_path / "fixed.dbs")
    code, out, err = run("dbs_repair", str(path), fixed)
    assert code == 0 and out.splitlines() == [
        f"{path}: version 3, damaged, and all of it can be recovered "
        f"({document['blocks']} blocks, 3 of {document['sectors']} sectors bad, 1 block to heal); "
        "not decrypted (no passphrase)",
        f"{fixed}: written, nothing is damaged",
    ]
    assert open(fixed, "rb").read() == good
    code, out, err = run("dbs_repair", str(path), fixed)
    assert code == 2 and "--force" in err
    assert run("dbs_repair", str(path), fixed, "--force")[0] == 0
    # Beyond repair: most of it is zeros. The header pages at both ends are whole.
    lost = bytearray(good)
    lost[8192:-8192] = bytes(len(good) - 16384)
    path.write_bytes(lost)
    code, out, err = run("dbs_validate", str(path))
    assert code == 3, (out, err)
    code, out, err = run("dbs_restore", str(path))
    assert code == 3 and "dbs_restore --salvage" in err
    path.write_bytes(b"something else")
    code, out, err = run("dbs_validate", str(path))
    assert code == 6 and err.startswith(f"{path}: not a .dbs file")
    code, out, err = run("dbs_validate", str(tmp_path / "none"))
    assert code == 7 and err == f"{tmp_path / 'none'}: No such file or directory."
    assert Tag.objects.count() == 20_000


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "b.dbs"
    path.write_bytes(b"precious")
    code, out, err = run("dbs_backup", str(path))
    assert code == 2 and "--force" in err and path.read_bytes() == b"precious"
    assert run("dbs_backup", str(path), "--force")[0] == 0
    assert run("dbs_validate", str(path))[0] == 0
    code, out, err = run("dbs_backup", str(tmp_path / "no" / "folder.dbs"))
    assert code == 7 and err == f"{tmp_path / 'no'}: There is no such directory."
    assert run("dbs_backup")[0] == 2
    assert run("dbs_backup", str(tmp_path / "x.dbs"), "--threads", "-1")[0] == 2
    assert run("dbs_backup", "--output-dir", str(tmp_path / "y"), "--prefix", "../x")[0] == 2
    assert run("dbs_backup", str(tmp_path / "x.dbs"), "--keep", "3")[0] == 2
    assert run("dbs_backup", str(tmp_path / "x.dbs"), "--output-dir", "x")[0] == 2
    assert sorted(os.listdir(tmp_path)) == ["b.dbs"]
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_what_does_not_exist_is_named(tmp_path):
    path = str(tmp_path / "b.dbs")
    code, out, err = run("dbs_backup", path, "--database", "other")
    assert code == 2 and "'other'" in err and "DATABASES has: default" in err
    code, out, err = run("dbs_backup", path, "--model", "zoo.Nothing")
    assert code == 2 and "There is no model zoo.nothing to back up" in err
    assert os.listdir(tmp_path) == []
    assert run("dbs_backup", path)[0] == 0
    code, out, err = run("dbs_restore", path, "--database", "other")
    assert code == 2 and "DATABASES has: default" in err
    code, out, err = run("dbs_backup", "/proc/b.dbs")
    assert code == 7 and err == "/proc: No such file or directory."


def test_tables_that_are_not_there(tmp_path, monkeypatch):
    import dbs.dump

    def missing(self):
        raise OperationalError("no such table: zoo_tag")

    monkeypatch.setattr(dbs.dump.RowDumper, "queryset", missing)
    code, out, err = run("dbs_backup", str(tmp_path / "b.dbs"))
    assert code == 7 and "no such table: zoo_tag. Run `manage.py migrate` first" in err
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    import resource

    row = Upload.objects.create()
    row.file.save("large.bin", ContentFile(os.urandom(9000)))
    path = str(tmp_path / "b.dbs")
    whole = str(tmp_path / "whole.dbs")
    run("dbs_backup", whole)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        code, out, err = run("dbs_backup", path)
        restored = run("dbs_restore", whole, "--no-data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (code, err) == (7, f"{path}: File too large.")
    assert os.listdir(tmp_path) == ["whole.dbs"]
    place = row.file.storage.location
    assert restored == (7, "", f"{place}: File too large.")
    assert not [name for name in os.listdir(place) if name.startswith(".dbs")]


def test_retention(tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "backup-20200101T000000Z-000000.dbs").write_bytes(b"not ours")
    (folder / "notes.txt").write_bytes(b"not ours")

    def ours():
        return sorted(
            n for n in os.listdir(folder) if n.endswith(".dbs") and "2020" not in n
        )

    names = []
    for i in range(5):
        code, out, err = run("dbs_backup", "--output-dir", str(folder), "--keep", "2", "--json")
        assert code == 0, err
        names.append(os.path.basename(json.loads(out)["path"]))
    assert ours() == sorted(names[-2:])
    assert (folder / "notes.txt").exists()
    assert (folder / "backup-20200101T000000Z-000000.dbs").exists()
    # An unverified backup takes no verified one's place.
    for i in range(3):
        assert run("dbs_backup", "--output-dir", str(folder), "--keep", "1", "--no-verify")[0] == 0
    assert names[-1] in ours() and len(ours()) == 4
    # What somebody else has put in the place of a backup is not ours any more.
    (folder / names[-1]).unlink()
    (folder / names[-1]).write_bytes(b"somebody else's")
    assert run("dbs_backup", "--output-dir", str(folder), "--keep", "1")[0] == 0
    assert (folder / names[-1]).read_bytes() == b"somebody else's"
    assert len(ours()) == 2


def test_flush_asks(tmp_path, monkeypatch):
    Tag.objects.create(id=1, name="t")
    path = str(tmp_path / "b.dbs")
    run("dbs_backup", path)
    Tag.objects.create(id=2, name="u")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert run("dbs_restore", path, "--flush")[0] == 2
    assert Tag.objects.count() == 2
    assert run("dbs_restore", path, "--flush", "--dry-run")[0] == 0
    assert run("dbs_restore", path, "--flush", "--no-input")[0] == 0
    assert Tag.objects.count() == 1


def test_restore_options(tmp_path, settings):
    row = Upload.objects.create()
    row.file.save("a.txt", ContentFile(b"a"))
    Tag.objects.create(id=1, name="t")
    path = str(tmp_path / "b.dbs")
    run("dbs_backup", path)
    Tag.objects.all().delete()
    row.file.storage.delete(row.file.name)
    assert run("dbs_restore", path, "--no-data")[0] == 0
    assert row.file.storage.exists(row.file.name) and not Tag.objects.exists()
    row.file.storage.delete(row.file.name)
    assert run("dbs_restore", path, "--no-files", "--model", "zoo.Tag")[0] == 0
    assert Tag.objects.exists() and not row.file.storage.exists(row.file.name)
    code, out, err = run("dbs_restore", path, "--map", "nonsense")
    assert code == 2
    code, out, err = run("dbs_restore", path, "--dry-run", "--json")
    assert code == 0 and json.loads(out)["dry_run"] is True
    code, out, err = run("dbs_restore", path, "--no-data", "--no-files")
    assert code == 2 and "nothing to restore" in err
    code, out, err = run("dbs_restore", path, "--dry-run")
    # Models without rows are not worth a line.
    assert code == 0 and "zoo.tag: 1 row (" in out and ": 0 rows" not in out


CHILD = """
import os, signal, sys, django
# Ignored, where the tests run in the background of a shell.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path[:0] = {path!r}
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()
from django.db import connections
connections.databases["default"]["NAME"] = {database!r}
import time
from unittest import mock
import dbs.{module} as module
def progress(*args):
    print("running", flush=True)
    time.sleep(0.2)
{call}
"""


def child(tmp_path, module, call):
    from django.db import connections

    code = CHILD.format(
        path=sys.path,
        database=connections["default"].settings_dict["NAME"],
        module=module,
        call=call,
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_of_a_backup(tmp_path, number):
    Tag.objects.create(name="t")
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / "old.dbs").write_bytes(b"the last backup")
    for name in ("new.dbs", "old.dbs"):
        process = child(
            tmp_path, "backup",
            f"module.write_backup({str(folder / name)!r}, 'x', kdf=(1, 64, 1), progress=progress,"
            " overwrite=True)",
        )
        process.send_signal(number)
        process.wait(30)
        assert process.returncode != 0
        assert os.listdir(folder) == ["old.dbs"]
        assert (folder / "old.dbs").read_bytes() == b"the last backup"


def test_killed_in_the_middle_of_a_restore(tmp_path, settings):
    """Nothing has changed, and the next restore clears what was staged."""
    for i in range(3):
        row = Upload.objects.create()
        row.file.save(f"{i}.txt", ContentFile(b"content %d" % i))
    Tag.objects.create(id=1, name="t")
    path = tmp_path / "b.dbs"
    path.write_bytes(create_backup("x", **KDF))
    Tag.objects.all().delete()
    Upload.objects.all().delete()
    storage = row.file.storage
    for i in range(3):
        storage.delete(f"up/{i}.txt")
    call = (
        "seen = []\n"
        "def slow(kind, *args):\n"
        "    if kind == 'files':\n"
        "        print('running', flush=True); time.sleep(30)\n"
        f"module.restore_backup({str(path)!r}, 'x', progress=slow)"
    )
    process = child(tmp_path, "restore", call)
    staged = [n for n in os.listdir(storage.location) if n.startswith(".dbs-restore-")]
    assert staged
    process.kill()
    process.wait(30)
    assert not Tag.objects.exists() and not Upload.objects.exists()
    assert not any(storage.exists(f"up/{i}.txt") for i in range(3))
    code, out, err = run("dbs_restore", str(path), "-p", "x")
    assert code == 0, err
    assert Tag.objects.get().name == "t"
    assert storage.open("up/1.txt").read() == b"content 1"
    assert not [n for n in os.listdir(storage.location) if n.startswith(".dbs-restore-")]


def test_killed_while_files_are_moved(tmp_path, settings):
    """The rows are there, and some of the files: each is the old one or the new one, never half.

    The next restore brings the rest and clears what was staged.
    """
    rows = []
    for i in range(4):
        row = Upload.objects.create()
        row.file.save(f"{i}.txt", ContentFile(b"from the backup %d" % i))
        rows.append(row)
    path = tmp_path / "b.dbs"
    path.write_bytes(create_backup("x", **KDF))
    storage = row.file.storage
    Upload.objects.all().delete()
    for i in range(4):
        with open(storage.path(f"up/{i}.txt"), "wb") as file:
            file.write(b"newer")
    call = (
        "import dbs.placing\n"
        "real, moved = os.replace, []\n"
        "def replace(*args):\n"
        "    if len(moved) == 2:\n"
        "        print('running', flush=True); time.sleep(30)\n"
        "    moved.append(args); real(*args)\n"
        "dbs.placing.os.replace = replace\n"
        f"module.restore_backup({str(path)!r}, 'x')"
    )
    process = child(tmp_path, "restore", call)
    process.kill()
    process.wait(30)
    assert Upload.objects.count() == 4
    found = [storage.open(f"up/{i}.txt").read() for i in range(4)]
    assert sorted(found)[2:] == [b"newer", b"newer"]
    assert all(data in (b"newer", b"from the backup %d" % i) for i, data in enumerate(found))
    assert [n for n in os.listdir(storage.location) if n.startswith(".dbs-restore-")]
    assert run("dbs_restore", str(path), "-p", "x")[0] == 0
    assert [storage.open(f"up/{i}.txt").read() for i in range(4)] == [
        b"from the backup %d" % i for i in range(4)
    ]
    assert not [n for n in os.listdir(storage.location) if n.startswith(".dbs-restore-")]


def test_sigterm_ends_a_command_cleanly(tmp_path):
    Tag.objects.create(name="t")
    process = child(
        tmp_path, "backup",
        "from django.core.management import call_command\n"
        "import dbs.management.commands.dbs_backup as command\n"
        "real = command.write_backup\n"
        "command.write_backup = lambda *a, **k: real(*a, **k, progress=progress)\n"
        f"call_command('dbs_backup', {str(tmp_path / 'b.dbs')!r})",
    )
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    assert process.returncode == 128 + signal.SIGTERM
    time.sleep(0.1)
    assert os.listdir(tmp_path) == []


def test_checks(settings):
    from django.core.checks import run_checks

    from dbs import FieldType, ModelBackup, backup_registry

    def ids():
        return sorted(m.id for m in run_checks() if m.id.startswith("dbs."))

    assert ids() == []
    settings.DBS_FILE_ROOT = ["/x"]
    settings.DBS_SCHEDULER = "off"
    settings.DBS_FILE_ROOTS = ["relative", "/does/not/exist"]
    settings.DBS_EXCLUDE_MODELS = ["no.Such", "zoo.*", "-sessions.Session"]
    settings.DBS_SSH_TARGETS = {"a": {"host": "h"}, "b": {"host": "h", "username": "u", "x": 1}}
    backup_registry.register(Tag, type("B", (ModelBackup,), {
        "overrides": {"nothing": FieldType.VALUE}}))
    assert ids() == [
        "dbs.E002", "dbs.E003", "dbs.E004", "dbs.E004", "dbs.I001", "dbs.W001", "dbs.W002",
        "dbs.W003",
    ]
    for name, values in {
        "DBS_FILE_ROOTS": ["/a/string", [5]],
        "DBS_RESTORE_ROOTS": [5],
        "DBS_EXCLUDE_MODELS": ["zoo.Tag"],
        "DBS_SSH_TARGETS": [["offsite"]],
        "DBS_RESTORE_PATH_MAP": ["/old=/new", {"/old": None}],
        "DBS_BACKUP_DIR": [["/x"]],
        "DBS_BACKUP_PREFIX": ["", "a/b"],
        "DBS_MAX_UPLOAD_BYTES": ["1 GB", 0, True],
    }.items():
        for value in values:
            with override_settings(**{name: value}):
                assert ids().count("dbs.E001") == 1, (name, value)
    settings.DBS_RESTORE_ROOTS = ["relative"]
    assert ids().count("dbs.E003") == 2
