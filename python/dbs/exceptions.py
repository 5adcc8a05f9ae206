"""Errors. Those of the container come from the native module; the others are of Django's side."""

from __future__ import annotations

from ._native import (
    AuthenticationFailed,
    Damaged,
    Error,
    LimitExceeded,
    Misuse,
    NotDbs,
    Unsupported,
    WrongPassphrase,
)

__all__ = [
    "AuthenticationFailed",
    "BackupError",
    "ConfigurationError",
    "Damaged",
    "Error",
    "LimitExceeded",
    "MissingFiles",
    "Misuse",
    "NotDbs",
    "RestoreError",
    "TransportError",
    "Unsupported",
    "WrongPassphrase",
]


class ConfigurationError(Error):
    """A setting, or a registration, is wrong."""


class BackupError(Error):
    """The backup could not be made."""


class MissingFiles(BackupError):
    """Rows name files that are not there. `files` is a list of `MissingFile`."""

    def __init__(self, files):
        self.files = list(files)
        shown = "\n".join(f"  {item}" for item in self.files[:20])
        more = len(self.files) - 20
        if more > 0:
            shown += f"\n  and {more} more"
        count = len(self.files)
        them = "it" if count == 1 else "them"
        super().__init__(
            f"{count} file{'' if count == 1 else 's'} cannot be read:\n{shown}\n"
            f"Put {them} back, or leave {them} out with --allow-missing-files "
            "(allow_missing_files=True)."
        )


class RestoreError(Error):
    """The restore could not be done; the database and the files are as they were."""


class TransportError(Error):
    """A backup could not be sent or fetched."""


def database_says(error: BaseException) -> str:
    """The database's message on one line."""
    return " ".join(str(error).split()).rstrip(".")
