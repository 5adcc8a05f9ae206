"""What waits to be moved to its place: a list that takes no memory, however long it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

FILE = "file"
LINK = "symlink"
DIRECTORY = "dir"
#: A file for a storage that has no paths.
STORED = "stored"


@dataclass
class Staged:
    """One file, link or directory: where it is staged, and where it goes."""

    kind: str
    #: The directory that it may not leave; for `STORED` the key of the storage.
    base: str
    #: The path where it goes; for `STORED` the name in the storage.
    target: str
    #: The path where it waits. A directory does not.
    staged: str = ""
    mode: int | None = None
    mtime_ns: int | None = None


class Waiting:
    """Everything staged, in a private temporary database of SQLite, which goes to disk by itself."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE item (kind, base, target, staged, mode, mtime)")
        self._db.execute("BEGIN")

    def add(self, item: Staged) -> None:
        # A time may have more than 64 bits, whatever a backup says.
        time = None if item.mtime_ns is None else str(item.mtime_ns)
        paths = [os.fsencode(path) for path in (item.base, item.target, item.staged)]
        self._db.execute(
            "INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", (item.kind, *paths, item.mode, time)
        )

    def of(self, *kinds: str, deepest_first: bool = False) -> Iterator[Staged]:
        """Those of some kinds, in the order of the kinds and then in which they came."""
        order = "length(target) DESC" if deepest_first else "rowid"
        for kind in kinds:
            rows = self._db.execute(
                "SELECT base, target, staged, mode, mtime FROM item WHERE kind = ? "  # noqa: S608
                f"ORDER BY {order}",
                (kind,),
            )
            for base, target, staged, mode, time in rows:
                yield Staged(
                    kind,
                    os.fsdecode(base),
                    os.fsdecode(target),
                    os.fsdecode(staged),
                    mode,
                    None if time is None else int(time),
                )

    def close(self) -> None:
        self._db.close()
