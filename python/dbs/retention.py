"""Which backups of a directory may go. Only what stands in the ledger there can be removed.

The ledger is a small JSON file beside the backups. It lists what `dbs_backup --output-dir` wrote:
name, size, time, and whether it was verified. A file that is not listed, or that is not the file
that was listed any more, is never touched, and neither is the newest verified backup.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from .exceptions import BackupError

LEDGER = ".dbs-backups.json"


class Ledger:
    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, LEDGER)
        self.entries: list[dict[str, Any]] = self._read()

    def _read(self) -> list[dict[str, Any]]:
        try:
            with open(self.path, encoding="utf-8") as file:
                entries = json.load(file)["backups"]
            return [e for e in entries if isinstance(e, dict) and isinstance(e.get("name"), str)]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise BackupError(
                f"{self.path} cannot be read ({error}). Move it away: the backups that it lists "
                "will then be kept for ever."
            ) from error

    def _write(self) -> None:
        from .container import atomic_file

        document = json.dumps({"format": 1, "backups": self.entries}, indent=1) + "\n"
        with atomic_file(self.path, overwrite=True) as file:
            file.write(document.encode())

    def add(self, path: str, verified: bool) -> None:
        status = os.stat(path)
        self.entries.append(
            {
                "name": os.path.basename(path),
                "size": status.st_size,
                "mtime_ns": status.st_mtime_ns,
                "inode": status.st_ino,
                "verified": verified,
            }
        )
        self._write()

    def _still_there(self, entry: dict[str, Any]) -> bool:
        name = entry["name"]
        if name != os.path.basename(name):
            return False
        try:
            status = os.lstat(os.path.join(self.directory, name))
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns, status.st_ino) == (
            entry.get("size"),
            entry.get("mtime_ns"),
            entry.get("inode"),
        )

    def keep(self, count: int) -> list[str]:
        """Removes the oldest backups listed, but the newest `count`; returns their names.

        Unverified backups do not count as kept, and the newest verified one always stays.
        """
        there = [entry for entry in self.entries if self._still_there(entry)]
        verified = [entry for entry in there if entry.get("verified")]
        kept = verified[-count:] if verified else there[-count:]
        # An unverified backup newer than the oldest one kept stays as well.
        oldest = there.index(kept[0]) if kept else 0
        removed = []
        for entry in there[:oldest]:
            try:
                os.unlink(os.path.join(self.directory, entry["name"]))
            except FileNotFoundError:
                pass
            removed.append(entry["name"])
        self.entries = [e for e in there if e["name"] not in removed]
        self._write()
        return removed


@contextlib.contextmanager
def ledger(directory: str) -> Iterator[Ledger]:
    """The ledger of a directory, held alone while a backup is written there."""
    path = os.path.join(directory, LEDGER + ".lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with contextlib.suppress(ImportError):
            import fcntl

            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BackupError(
                    f"Another backup is being written to {directory}. Try again when it is done."
                ) from None
        yield Ledger(directory)
    finally:
        os.close(fd)
