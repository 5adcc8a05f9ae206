"""SIGKILL at random moments: nothing half-made under a final name, and nothing lost.

DBS_KILLS says how many; a few by default.
"""

from __future__ import annotations

import json
import os
import random
import time

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from dbs import create_backup, validate_backup
from tests.test_commands import KDF, child, run
from tests.zoo.models import Tag, Upload

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

KILLS = int(os.environ.get("DBS_KILLS", "4"))
FILES = 40


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("DBS_PASSPHRASE", "x")


def content(i, state):
    return (f"{state} file {i} ".encode() * 5000)[: 40_000 + i]


def make(state):
    """Rows and files of one state of a site; all differ between states."""
    Tag.objects.all().delete()
    Tag.objects.bulk_create(Tag(id=i, name=f"{state} {i}") for i in range(1, 2001))
    Upload.objects.all().delete()
    Upload.objects.bulk_create(Upload(id=i, file=f"up/{i}.bin") for i in range(FILES))
    for i in range(FILES):
        default_storage.delete(f"up/{i}.bin")
        default_storage.save(f"up/{i}.bin", ContentFile(content(i, state)))


def rows():
    return [list(Tag.objects.order_by("id").values_list("id", "name")),
            list(Upload.objects.order_by("id").values_list("id", "file"))]


def killed(tmp_path, duration, *command):
    """Runs a command and kills it at a random moment; says whether it had ended by itself."""
    process = child(
        tmp_path, "backup",
        "from django.core.management import call_command\n"
        "print('running', flush=True)\n"
        f"call_command(*{command!r})",
    )
    moment = random.random() * duration * 1.2
    time.sleep(moment)
    process.kill()
    process.stdout.read()
    return process.wait(60) == 0


def took(*command):
    """How long a command takes that nobody kills."""
    start = time.monotonic()
    assert run(*command)[0] == 0
    return time.monotonic() - start


def test_a_backup_killed_at_any_moment(tmp_path):
    make("old")
    folder = tmp_path / "backups"
    folder.mkdir()
    path = folder / "b.dbs"
    duration = took("dbs_backup", str(path))
    old = path.read_bytes()
    for _ in range(KILLS):
        killed(tmp_path, duration, "dbs_backup", str(path), "--force")
        assert [name for name in os.listdir(folder) if not name.startswith(".")] == ["b.dbs"]
        if path.read_bytes() != old:
            assert validate_backup(path, "x").clean
        killed(tmp_path, duration, "dbs_backup", str(folder / "new.dbs"))
        if (folder / "new.dbs").exists():
            assert validate_backup(folder / "new.dbs", "x").clean
            os.unlink(folder / "new.dbs")
        assert not [name for name in os.listdir(folder) if "new" in name]


def test_scheduled_backups_killed_at_any_moment(tmp_path):
    make("old")
    folder = tmp_path / "backups"
    command = ("dbs_backup", "--output-dir", str(folder), "--keep", "2")
    duration = took(*command)
    for _ in range(KILLS):
        killed(tmp_path, duration, *command)
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
        assert names and all(validate_backup(folder / name, "x").clean for name in names)
        listed = json.loads((folder / ".dbs-backups.json").read_text())["backups"]
        assert any(entry["verified"] and entry["name"] in names for entry in listed)
    # Nothing of it is in the way of the next run.
    code, out, err = run(*command)
    assert code == 0, err


def test_a_restore_killed_at_any_moment(tmp_path):
    make("of the backup")
    path = tmp_path / "b.dbs"
    path.write_bytes(create_backup("x", **KDF))
    backed_up = rows()
    duration = took("dbs_restore", str(path))
    for number in range(KILLS):
        options = ("--flush", "--no-input") if number % 2 else ()
        make("newer")
        newer = rows()
        done = killed(tmp_path, duration, "dbs_restore", str(path), *options)
        now = rows()
        assert now in (newer, backed_up), "half of the rows"
        for i in range(FILES):
            data = default_storage.open(f"up/{i}.bin").read()
            if now == newer:
                assert data == content(i, "newer"), f"file {i} without its row"
            elif done:
                assert data == content(i, "of the backup"), f"file {i} is not restored"
            else:
                assert data in (content(i, "newer"), content(i, "of the backup")), f"half of {i}"
        # The next one brings everything, and clears what was staged.
        code, out, err = run("dbs_restore", str(path), *options)
        assert code == 0, err
        assert rows() == backed_up
        for i in range(FILES):
            assert default_storage.open(f"up/{i}.bin").read() == content(i, "of the backup")
        assert not [n for n in os.listdir(default_storage.location) if n.startswith(".dbs")]
