"""What the commands share: exit codes, errors with the next step, and clean ends on signals."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from django.core.files.storage import InvalidStorageError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from .. import container, passphrases
from ..exceptions import (
    AuthenticationFailed,
    ConfigurationError,
    Damaged,
    Error,
    LimitExceeded,
    Misuse,
    NotDbs,
    Unsupported,
    WrongPassphrase,
)

# Exit codes, the same as those of the command `dbs`.
RECOVERABLE = 1
USAGE = 2
UNRECOVERABLE = 3
WRONG_PASSPHRASE = 4
ALTERED = 5
NOT_DBS = 6
IO = 7
INTERRUPTED = 128 + signal.SIGINT


class DbsCommand(BaseCommand):
    """A command whose domain errors end it with a message and an exit code."""

    #: What else gives back something of a backup that is damaged beyond repair.
    last_resort = "`manage.py dbs_restore --salvage`"

    def execute(self, *args: Any, **options: Any) -> Any:
        with _signals_as_exceptions(), self._errors(options.get("input")):
            return super().execute(*args, **options)

    @contextlib.contextmanager
    def _errors(self, name: str | None) -> Iterator[None]:
        """Errors as messages about the backup called `name`."""
        about = f"{name}: " if name else ""
        try:
            yield
        except CommandError:
            raise
        except KeyboardInterrupt:
            raise CommandError(f"{about}interrupted.", returncode=INTERRUPTED) from None
        except WrongPassphrase as error:
            raise CommandError(
                f"{about}{error}. Nothing was changed.", returncode=WRONG_PASSPHRASE
            ) from None
        except AuthenticationFailed as error:
            raise CommandError(
                f"{about}{error}. Somebody has altered this file; use another copy.",
                returncode=ALTERED,
            ) from None
        except Damaged as error:
            raise CommandError(
                f"{about}{error}. Try another copy of the backup, or restore what is left of it "
                f"with {self.last_resort}.",
                returncode=UNRECOVERABLE,
            ) from None
        except (NotDbs, Unsupported) as error:
            raise CommandError(f"{about}{error}.", returncode=NOT_DBS) from None
        except OSError as error:
            raise CommandError(system_says(error), returncode=IO) from None
        except (ConfigurationError, Misuse) as error:
            raise CommandError(str(error), returncode=USAGE) from None
        except ConnectionDoesNotExist as error:
            raise CommandError(
                f"{error} DATABASES has: {', '.join(connections)}.", returncode=USAGE
            ) from None
        except InvalidStorageError as error:
            raise CommandError(str(error), returncode=USAGE) from None
        except (LimitExceeded, Error, DatabaseError) as error:
            raise CommandError(str(error), returncode=IO) from None

    def note(self, options: dict[str, Any], lines: list[str], limit: int = 20) -> None:
        for line in lines[:limit]:
            self.stderr.write(f"Note: {line}")
        if len(lines) > limit:
            self.stderr.write(f"Note: and {len(lines) - limit} more")

    def read_passphrase(self, options: dict[str, Any], source: Any) -> str:
        """The passphrase for an existing backup.

        Old backups may have one that django-dbs derived from SECRET_KEY; it is tried where none
        is given.
        """
        given = passphrases.resolve(options, self.stderr, confirm=False, required=False)
        if given is not None:
            return given
        archive = container.open_archive(source)
        if archive.version < 3:
            for candidate in passphrases.from_secret_keys():
                with contextlib.suppress(WrongPassphrase):
                    archive.unlock(candidate)
                    self.stderr.write("Note: the passphrase made from SECRET_KEY opens this backup.")
                    return candidate
        required = passphrases.resolve(options, self.stderr, confirm=False, required=True)
        assert required is not None
        return required



def system_says(error: OSError) -> str:
    """An error of the operating system in one line: which file, and what is wrong."""
    text = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(error.filename)}: {text}." if error.filename else f"{text}."


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the stack, so that nothing half-made is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    previous = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            previous[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
