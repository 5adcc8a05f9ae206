from __future__ import annotations

import os
import shutil

import pytest


def pytest_report_header(config):
    import django
    from django.db import connections

    return f"django {django.get_version()}, databases: {', '.join(connections.databases)}"


@pytest.fixture(params=["default", "postgres", "mariadb"])
def using(request, transactional_db):
    """Each database in turn."""
    from django.db import connections

    if request.param not in connections.databases:
        pytest.skip(f"{request.param} is not to be had on this machine")
    return request.param


@pytest.fixture(autouse=True)
def clean_files(settings):
    """Storages start empty, and so does the registry."""
    from django.core.files.storage import storages

    from dbs.registry import backup_registry

    for name in ("media", "private"):
        path = os.path.join(settings.BASE, name)
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path)
    from django.core.files.storage.memory import InMemoryDirNode

    storages["memory"]._root = InMemoryDirNode()
    yield
    backup_registry.clear()


@pytest.fixture
def passphrase():
    return "correct horse battery staple"
