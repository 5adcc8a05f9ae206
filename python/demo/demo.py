"""A Django project is made, filled, backed up, its backup broken, and all of it restored.

    python demo.py FOLDER

Every step runs the commands that a person would type. The end compares every row and every file.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

FILES = {
    "manage.py": """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
""",
    "settings.py": """
import os
from pathlib import Path
BASE = Path(__file__).resolve().parent
SECRET_KEY = "only a demonstration"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "library", "dbs"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3",
                         "NAME": BASE / os.environ.get("DEMO_DB", "site.sqlite3")}}
MEDIA_ROOT = BASE / os.environ.get("DEMO_MEDIA", "media")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
""",
    "library/__init__.py": "",
    "library/migrations/__init__.py": "",
    "library/models.py": """
import uuid
from django.conf import settings
from django.db import models

class Genre(models.Model):
    name = models.CharField(max_length=60, unique=True)
    parent = models.ForeignKey("self", models.CASCADE, null=True)

class Author(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    name = models.CharField(max_length=100)

class Book(models.Model):
    title = models.CharField(max_length=200)
    genres = models.ManyToManyField(Genre)
    authors = models.ManyToManyField(Author, through="Credit")
    price = models.DecimalField(max_digits=8, decimal_places=2)
    published = models.DateTimeField()
    reading_time = models.DurationField(null=True)
    facts = models.JSONField(default=dict)
    scan = models.FileField(upload_to="scans", blank=True)
    cover = models.BinaryField(null=True)

class Credit(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    author = models.ForeignKey(Author, models.CASCADE)
    role = models.CharField(max_length=20)
""",
    "fill.py": """
import os, random, datetime, uuid
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
import django; django.setup()
from decimal import Decimal
from django.contrib.auth.models import Group, Permission, User
from django.core.files.base import ContentFile
from django.db import transaction
from library.models import *
R = random.Random(7)
WORDS = "tide élan 漢字 ocean Ωmega emoji😀 river naïve stone سلام".split()
def text(n): return " ".join(R.choice(WORDS) for _ in range(n))
with transaction.atomic():
    group = Group.objects.create(name="librarians")
    group.permissions.set(Permission.objects.filter(content_type__app_label="library"))
    genres = []
    for i in range(20):
        genres.append(Genre.objects.create(name=f"{text(2)} {i}", parent=R.choice(genres) if genres else None))
    authors = []
    for i in range(50):
        user = User.objects.create(username=f"user{i}", password="!")
        user.groups.add(group)
        authors.append(Author.objects.create(id=uuid.UUID(int=R.getrandbits(128)), user=user, name=text(2)))
    start = datetime.datetime(1999, 12, 31, 23, 59, 59, 123456, datetime.timezone.utc)
    for i in range(2000):
        book = Book(title=text(4), price=Decimal(R.randrange(100, 99999)) / 100,
                    published=start + datetime.timedelta(hours=i, microseconds=i * 37),
                    reading_time=datetime.timedelta(minutes=i, microseconds=i) if i % 3 else None,
                    facts={"pages": i, "tags": [text(1), None, 1.5]}, cover=R.randbytes(i % 50) if i % 2 else None)
        if i % 20 == 0:
            book.scan.save(f"{text(1)} {i}.bin", ContentFile(R.randbytes(R.randrange(1, 200_000))), save=False)
        book.save()
        book.genres.set(R.sample(genres, i % 4))
        Credit.objects.create(book=book, author=R.choice(authors), role="writer")
""",
}

TABLES = [
    "auth_group", "auth_group_permissions", "auth_user", "auth_user_groups", "library_genre",
    "library_author", "library_book", "library_book_genres", "library_credit",
    "auth_user_user_permissions",
]


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run(folder: Path, *command: str, **environment: str) -> None:
    shown = " ".join([*(f"{k}={v}" for k, v in environment.items()), "python", *command])
    print(f"$ {shown}", flush=True)
    subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        check=True,
        env={**os.environ, "DBS_PASSPHRASE": "correct horse battery staple", **environment},
    )


def rows(database: Path) -> dict[str, list]:
    import sqlite3

    connection = sqlite3.connect(database)
    try:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }
    finally:
        connection.close()


def files(folder: Path) -> dict[str, tuple]:
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def damage(path: Path) -> None:
    """Zeroes a fifth of the file in one piece, and one sector in fifty everywhere else."""
    data = bytearray(path.read_bytes())
    size = len(data)
    hole = range(size // 4, size // 4 + size // 5)
    data[hole.start : hole.stop] = bytes(len(hole))
    dice = random.Random(1)
    for start in range(0, size, 4096):
        if dice.random() < 0.02:
            end = min(start + 4096, size)
            data[start:end] = bytes(end - start)
    path.write_bytes(data)


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    say("A project with 10 tables, a few thousand rows and 100 files")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip())
    run(folder, "manage.py", "makemigrations", "-v0", "library")
    run(folder, "manage.py", "migrate", "-v0")
    run(folder, "fill.py")
    say("Back it up")
    run(folder, "manage.py", "dbs_backup", "backup.dbs")
    written = hashlib.sha256((folder / "backup.dbs").read_bytes()).hexdigest()
    say("Break the backup: a fifth of it in one piece, and one sector in fifty elsewhere")
    damage(folder / "backup.dbs")
    print("$ python manage.py dbs_validate backup.dbs")
    code = subprocess.run(
        [sys.executable, "manage.py", "dbs_validate", "backup.dbs"], cwd=folder
    ).returncode
    if code != 1:
        sys.exit(f"exit code {code} where 1 (damaged, can be recovered) was to come")
    say("Restore it into an empty database and an empty folder")
    fresh = {"DEMO_DB": "new.sqlite3", "DEMO_MEDIA": "new-media"}
    run(folder, "manage.py", "migrate", "-v0", **fresh)
    run(folder, "manage.py", "dbs_restore", "backup.dbs", **fresh)
    say("Compare every row of every table, and every file with its mode and time")
    before, after = rows(folder / "site.sqlite3"), rows(folder / "new.sqlite3")
    for table in TABLES:
        same = before[table] == after[table]
        print(f"{len(before[table]):>7,} rows  {table}: {'equal' if same else 'DIFFERENT'}")
    old, new = files(folder / "media"), files(folder / "new-media")
    print(f"{len(old):>7,} files: {'equal' if old == new else 'DIFFERENT'}")
    if before != after or old != new:
        sys.exit("not all came back")
    say("Repair the file itself: bit for bit as it was written")
    run(folder, "manage.py", "dbs_repair", "backup.dbs", "repaired.dbs")
    run(folder, "manage.py", "dbs_validate", "repaired.dbs")
    if hashlib.sha256((folder / "repaired.dbs").read_bytes()).hexdigest() != written:
        sys.exit("the repaired file is not the one that was written")
    print("repaired.dbs is the file that was written, bit for bit")
    print("\nAll came back.")


if __name__ == "__main__":
    main()
