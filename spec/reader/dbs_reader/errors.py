"""Error classes and their exit codes (section 22)."""

from __future__ import annotations


class DbsError(Exception):
    """Any error of section 22. `exit_code` is that of behaviour 1.2."""

    exit_code = 7


class Io(DbsError):
    exit_code = 7


class NotDbs(DbsError):
    exit_code = 6


class Unsupported(DbsError):
    exit_code = 6


class Damaged(DbsError):
    """Damage beyond repair; `blocks` are the numbers of the blocks that are lost."""

    exit_code = 3

    def __init__(self, message: str, blocks: list[int] | None = None) -> None:
        super().__init__(message)
        self.blocks = blocks or []


class WrongPassphrase(DbsError):
    exit_code = 4


class Authentication(DbsError):
    exit_code = 5


class Limit(DbsError):
    exit_code = 7


class Misuse(DbsError):
    exit_code = 2
