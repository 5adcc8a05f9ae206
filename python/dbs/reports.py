"""What a backup, a validation, a repair or a restore has to say."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, field
from typing import Any


def amount(count: int, what: str, many: str = "") -> str:
    return f"{count:,} {what if count == 1 else many or what + 's'}"


def size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


@dataclass
class BackupReport:
    """What a backup holds."""

    rows: dict[str, int] = field(default_factory=dict)
    files: int = 0
    file_bytes: int = 0
    payload_bytes: int = 0
    size: int = 0
    missing_files: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verified: bool = False
    snapshot: bool = True
    path: str | None = None

    def summary(self) -> str:
        rows = sum(self.rows.values())
        text = (
            f"{amount(rows, 'row')} of {amount(len(self.rows), 'model')}, "
            f"{amount(self.files, 'file')} ({size(self.file_bytes)}); "
            f"backup {size(self.size)}"
        )
        if self.missing_files:
            text += f"; {amount(len(self.missing_files), 'missing file')} left out"
        return text + (", verified" if self.verified else ", not verified")

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "files": self.files,
            "file_bytes": self.file_bytes,
            "payload_bytes": self.payload_bytes,
            "size": self.size,
            "missing_files": [str(item) for item in self.missing_files],
            "notes": self.notes,
            "verified": self.verified,
            "snapshot": self.snapshot,
            "path": self.path,
        }


@dataclass
class ModelResult:
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass
class RestoreReport:
    """What a restore did, or would do."""

    version: int = 3
    #: When the backup was made, as it says itself (ISO 8601).
    created: str = ""
    dry_run: bool = False
    salvage: bool = False
    models: dict[str, ModelResult] = field(default_factory=dict)
    files_written: int = 0
    files_replaced: int = 0
    file_bytes: int = 0
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    container: Any = None

    @property
    def created_at(self) -> datetime.datetime | None:
        """When the backup was made; None where it does not say so in an understandable way."""
        try:
            return datetime.datetime.fromisoformat(self.created.replace("Z", "+00:00"))
        except ValueError:
            return None

    @property
    def healed(self) -> bool:
        """Whether the backup was damaged and what was read had to be repaired."""
        return bool(self.container is not None and self.container.status != "clean")

    @property
    def beyond_repair(self) -> bool:
        """Whether a part of what was asked for is lost: only a salvage goes on then."""
        return self.salvage and bool(self.skipped)

    @property
    def rows(self) -> int:
        return sum(result.rows for result in self.models.values())

    @property
    def files(self) -> int:
        return self.files_written + self.files_replaced

    def summary(self) -> str:
        would = "would restore" if self.dry_run else "restored"
        inserted = sum(r.inserted for r in self.models.values())
        updated = sum(r.updated for r in self.models.values())
        deleted = sum(r.deleted for r in self.models.values())
        text = (
            f"{would} {amount(self.rows, 'row')} of {amount(len(self.models), 'model')} "
            f"({inserted:,} new, {updated:,} replaced"
            + (f", {deleted:,} deleted before" if deleted else "")
            + f") and {amount(self.files, 'file')} "
            f"({self.files_written:,} new, {self.files_replaced:,} replaced)"
        )
        if self.beyond_repair:
            text += "; the backup is damaged beyond repair, and this is what is left of it"
        elif self.healed:
            text += "; the backup is damaged and all that was read has been repaired"
        return text

    def as_dict(self) -> dict[str, Any]:
        return {
            "format_version": self.version,
            "created": self.created,
            "dry_run": self.dry_run,
            "healed": self.healed,
            "models": {label: vars(result) for label, result in self.models.items()},
            "files_written": self.files_written,
            "files_replaced": self.files_replaced,
            "file_bytes": self.file_bytes,
            "skipped": self.skipped,
            "notes": self.notes,
        }


class BackupFile(os.PathLike):
    """A finished backup on disk: a path, with the report of how it was made."""

    def __init__(self, path: Any, report: BackupReport) -> None:
        self.path = os.fspath(path)
        self.report = report

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path

    def __len__(self) -> int:
        return os.path.getsize(self.path)

    def __repr__(self) -> str:
        return f"<BackupFile {self.path!r}: {self.report.summary()}>"

    def __bytes__(self) -> bytes:
        return self.read_bytes()

    def read_bytes(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()
