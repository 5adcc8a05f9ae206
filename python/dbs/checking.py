"""Looking at backups without restoring them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from . import container
from .events import End, File, Meta, Rows
from .reports import amount
from .restore import payload_events
from .secrecy import hides_passphrase


@dataclass
class ValidationReport:
    """What a validation found."""

    container: Any
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything in the backup can be restored, healed where need be."""
        return bool(self.container.status != "unrecoverable")

    @property
    def clean(self) -> bool:
        """Whether nothing at all is damaged."""
        return bool(self.container.status == "clean")

    @property
    def healed(self) -> bool:
        return bool(self.container.status == "recoverable")

    @property
    def decrypted(self) -> bool:
        return bool(self.container.decrypted)

    def summary(self) -> str:
        report = self.container
        words = {
            "clean": "clean: nothing is damaged",
            "recoverable": "damaged, and all of it can be recovered",
            "unrecoverable": "damaged beyond repair",
        }
        text = f"version {report.version}, {words.get(report.status, report.status)}"
        text += f" ({amount(report.blocks, 'block')}"
        if report.sectors_bad:
            # How many there should be may not be known any more.
            of = f" of {report.sectors:,}" if report.sectors else ""
            text += f", {report.sectors_bad:,}{of} sectors bad"
        if report.blocks_healed:
            text += f", {amount(report.blocks_healed, 'block')} to heal"
        text += ")"
        if report.failed_blocks:
            shown = ", ".join(str(block["block"]) for block in report.failed_blocks[:10])
            text += f"; lost blocks: {shown}"
        text += "; decrypted" if report.decrypted else "; not decrypted (no passphrase)"
        return text

    def __bool__(self) -> bool:
        return self.ok


@hides_passphrase
def validate_backup(source: Any, passphrase: str | bytes | None = None) -> ValidationReport:
    """Checks a backup; with the passphrase everything is decrypted as well.

    A damaged backup is reported, not raised: see `ok`, `clean` and `summary`. A wrong passphrase
    raises `WrongPassphrase`.
    """
    return ValidationReport(container.validate(source, passphrase))


@dataclass
class Listing:
    """What a backup holds."""

    created: str = ""
    django: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


@hides_passphrase
def list_backup(source: Any, passphrase: str | bytes) -> Listing:
    """The models with their row counts, and the files, of a backup."""
    payload = container.open_archive(source).unlock(passphrase)
    listing = Listing()
    counted = False
    for event in payload_events(payload):
        if isinstance(event, Meta):
            listing.created, listing.django = event.created, event.django
            listing.rows = dict(event.counts or {})
            counted = event.counts is not None
        elif isinstance(event, Rows):
            if not counted:
                number = sum(1 for _ in event.rows)
                listing.rows[event.model] = listing.rows.get(event.model, 0) + number
        elif isinstance(event, File):
            if event.left_out is not None:
                listing.missing.append(event.shown)
            else:
                event.stream = None
                listing.files.append(event)
        elif isinstance(event, End):
            if event.counts:
                listing.rows = dict(event.counts)
            for item in event.summary.get("missing_files", ()):
                listing.missing.append(str(item.get("name")))
    return listing


def repair_backup(source: Any, target: str | os.PathLike[str], overwrite: bool = False) -> Any:
    """Writes the repaired backup to `target`; needs no passphrase."""
    from .standalone import repair

    return repair(source, target, overwrite=overwrite)
