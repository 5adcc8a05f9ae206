"""One consistent view of the database for as long as a backup reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections, transaction


@contextmanager
def snapshot(using: str) -> Iterator[bool]:
    """Opens a read transaction that sees one state. Yields whether it really is a snapshot.

    PostgreSQL: REPEATABLE READ, READ ONLY. MySQL and MariaDB: REPEATABLE READ with a consistent
    snapshot. SQLite: a read transaction, which sees one state by itself. Inside a transaction that
    is already open nothing can be promised.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield False
        return
    if connection.vendor == "mysql":
        # Must stand before the transaction begins, and holds for one transaction only.
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                # The snapshot is taken by the first query.
                cursor.execute("SELECT 1")
        elif connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM sqlite_master")
        yield connection.vendor in ("postgresql", "sqlite", "mysql")
