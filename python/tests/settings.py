"""Settings of the test project. The databases besides SQLite come from `servers.py`."""

import atexit
import json
import os
import shutil
import tempfile

from tests import servers

if "DBS_TEST_DIR" not in os.environ:
    os.environ["DBS_TEST_DIR"] = tempfile.mkdtemp(prefix="dbs-tests-")
    atexit.register(shutil.rmtree, os.environ["DBS_TEST_DIR"], ignore_errors=True)
BASE = os.environ["DBS_TEST_DIR"]
if "DBS_TEST_DATABASES" not in os.environ:
    _found = {
        name: start()
        for name, start in (("postgres", servers.start_postgres), ("mariadb", servers.start_mariadb))
        if os.environ.get("DBS_TEST_" + name.upper(), "1") != "0"
    }
    os.environ["DBS_TEST_DATABASES"] = json.dumps({k: v for k, v in _found.items() if v})
SECRET_KEY = "only for tests"
USE_TZ = True
TIME_ZONE = "Europe/Vienna"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tests.zoo",
    "tests.pgzoo",
    "dbs",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(BASE, "db.sqlite3"),
        "TEST": {"NAME": os.path.join(BASE, "test.sqlite3")},
        "OPTIONS": {"timeout": 20},
    },
    **json.loads(os.environ.get("DBS_TEST_DATABASES", "{}")),
}
DATABASE_ROUTERS = ["tests.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MEDIA_ROOT = os.path.join(BASE, "media")
MEDIA_URL = "/media/"
STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "memory": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "private": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": os.path.join(BASE, "private")},
    },
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
