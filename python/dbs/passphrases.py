"""Where a passphrase comes from. It is never logged, and never put into an argument by us."""

from __future__ import annotations

import base64
import getpass
import hashlib
import hmac
import os
import sys
from typing import Any

from django.core.management.base import CommandError

ENVIRONMENT = "DBS_PASSPHRASE"


def add_arguments(parser: Any) -> None:
    group = parser.add_argument_group(
        "passphrase",
        f"From the first of: these options, ${ENVIRONMENT}, a prompt on a terminal.",
    )
    one = group.add_mutually_exclusive_group()
    one.add_argument(
        "-p",
        "--passphrase",
        metavar="TEXT",
        help="The passphrase itself. Other users of this machine can read it while the command "
        "runs; prefer any of the others.",
    )
    one.add_argument(
        "--passphrase-file", metavar="FILE", help="Read the first line of a file."
    )
    one.add_argument(
        "--passphrase-stdin", action="store_true", help="Read the first line of standard input."
    )


def resolve(options: dict[str, Any], stderr: Any, *, confirm: bool, required: bool) -> str | None:
    """The passphrase of a command; None where none is given and none is required."""
    if options.get("passphrase") is not None:
        stderr.write(
            "Warning: a passphrase on the command line can be read by other users of this "
            f"machine, and stays in the shell's history. Use ${ENVIRONMENT}, --passphrase-file "
            "or --passphrase-stdin."
        )
        return _checked(options["passphrase"])
    if options.get("passphrase_file"):
        try:
            with open(options["passphrase_file"], encoding="utf-8", newline="") as file:
                return _checked(_line(file.readline()))
        except UnicodeDecodeError:
            raise CommandError(
                f"{options['passphrase_file']}: the passphrase is not UTF-8.", returncode=2
            ) from None
    if options.get("passphrase_stdin"):
        return _checked(_line(sys.stdin.readline()))
    if os.environ.get(ENVIRONMENT):
        return os.environ[ENVIRONMENT]
    if not required:
        return None
    if not sys.stdin.isatty():
        raise CommandError(
            f"No passphrase: set ${ENVIRONMENT}, or use --passphrase-file or --passphrase-stdin.",
            returncode=2,
        )
    passphrase = getpass.getpass("Passphrase: ")
    if confirm and getpass.getpass("Once more: ") != passphrase:
        raise CommandError("The two differ.", returncode=2)
    return _checked(passphrase)


def _line(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _checked(passphrase: str) -> str:
    if not passphrase:
        raise CommandError("The passphrase is empty.", returncode=2)
    return passphrase


def from_secret_keys() -> list[str]:
    """What django-dbs 0.3.0 to 0.7.0 used where no passphrase was given: from SECRET_KEY."""
    from django.conf import settings

    found = []
    for key in [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]:
        material = key if isinstance(key, bytes) else str(key).encode("utf-8")
        # HKDF-SHA256 (RFC 5869) with one block of output.
        prk = hmac.new(b"django-dbs", material, hashlib.sha256).digest()
        okm = hmac.new(prk, b"django-dbs/backup-passphrase/v1\x01", hashlib.sha256).digest()
        found.append(base64.urlsafe_b64encode(okm).rstrip(b"=").decode("ascii"))
    return found
