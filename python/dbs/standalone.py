"""Containers without Django."""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Any

from . import _native, container


def open(source: Any, *replicas: Any) -> _native.Archive:  # noqa: A001  The natural name.
    """Opens a container of any version: a path, bytes or a binary file. Needs no passphrase.

    With `replicas`, further copies of the same container, what one has lost is taken from the others.
    """
    return container.open_archive(source, *replicas)


def validate(source: Any, passphrase: str | bytes | None = None) -> _native.Report:
    """Checks a container; with a passphrase, decrypts everything as well."""
    return container.validate(source, passphrase)


def repair(source: Any, target: Any, *, overwrite: bool = False) -> _native.Report:
    """Writes the repaired container to a new file, bit for bit as it was first written."""
    archive = container.open_archive(source)
    if isinstance(target, (str, os.PathLike)):
        with container.atomic_file(target, overwrite=overwrite) as file:
            return archive.repair(file)
    return archive.repair(target)


class Writer:
    """Writes one container to a path or to a binary file. What is written to it is the payload.

    A path gets the finished container in one step; until `finish` (or the end of a ``with`` block
    that raises nothing) there is no file of that name. Options: `profile` (``standard``,
    ``coded``, ``light``), `level` of Zstandard (0: no compression), `kdf` as (passes, KiB,
    lanes) of Argon2id, `threads`, `lag`, `media_type`, `producer`.
    """

    def __init__(
        self, target: Any, passphrase: str | bytes, *, overwrite: bool = False, **options: Any
    ) -> None:
        self._stack = contextlib.ExitStack()
        self._done = False
        with contextlib.ExitStack() as stack:
            if isinstance(target, (str, os.PathLike)):
                target = stack.enter_context(container.atomic_file(target, overwrite=overwrite))
            self._native = _native.Writer(target, passphrase, **options)
            stack.callback(self._native.close)
            self._stack = stack.pop_all()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self._native.write(data)

    def finish(self) -> None:
        """Writes all that is still to be written; then the container is whole."""
        if self._done:
            return
        try:
            self._native.finish()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        self._done = True
        self._stack.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._done:
            return
        if kind is None:
            self.finish()
        else:
            self._done = True
            self._stack.__exit__(kind, value, traceback)
