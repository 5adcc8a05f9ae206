"""Containers without Django."""

from __future__ import annotations

from typing import Any

from . import container


def open(source: Any) -> Any:  # noqa: A001  The natural name.
    """Opens a container of any version: a path, bytes or a binary file. Needs no passphrase."""
    return container.open_archive(source)


def validate(source: Any, passphrase: str | bytes | None = None) -> Any:
    """Checks a container; with a passphrase, decrypts everything as well."""
    return container.validate(source, passphrase)


def repair(source: Any, target: Any, *, overwrite: bool = False) -> Any:
    """Writes the repaired container to a new file, bit for bit as it was first written."""
    import os

    archive = container.open_archive(source)
    if isinstance(target, (str, os.PathLike)):
        with container.atomic_file(target, overwrite=overwrite) as file:
            return archive.repair(file)
    return archive.repair(target)
