"""The codec. Everything that takes time runs without the interpreter's lock."""

import os
from typing import Any, BinaryIO, Literal, TypedDict, Union, final

__all__ = [
    "Error",
    "NotDbs",
    "Unsupported",
    "Damaged",
    "WrongPassphrase",
    "AuthenticationFailed",
    "LimitExceeded",
    "Misuse",
    "Archive",
    "Payload",
    "Reader",
    "Report",
    "Writer",
    "open",
]

_Source = Union[str, os.PathLike[str], bytes, bytearray, BinaryIO]
_Passphrase = Union[str, bytes]

class _Range(TypedDict):
    start: int
    end: int

class _FailedBlock(TypedDict):
    block: int
    kind: str
    payload: _Range | None

class _Entry(TypedDict):
    path: bytes
    type: Literal["file", "directory", "symlink", "hardlink", "other"]
    size: int
    mtime: int
    mtime_ns: int
    mode: int
    offset: int
    length: int
    target: bytes | None

class Error(Exception): ...
class NotDbs(Error): ...
class Unsupported(Error): ...

class Damaged(Error):
    failed_blocks: list[_FailedBlock]

class WrongPassphrase(Error): ...
class AuthenticationFailed(Error): ...
class LimitExceeded(Error): ...
class Misuse(Error): ...

@final
class Report:
    @property
    def version(self) -> int: ...
    @property
    def status(self) -> Literal["clean", "recoverable", "unrecoverable"]: ...
    @property
    def blocks(self) -> int: ...
    @property
    def blocks_healed(self) -> int: ...
    @property
    def sectors(self) -> int: ...
    @property
    def sectors_bad(self) -> int: ...
    @property
    def failed_blocks(self) -> list[_FailedBlock]: ...
    @property
    def decrypted(self) -> bool: ...
    @property
    def notes(self) -> list[str]: ...
    def as_dict(self) -> dict[str, Any]: ...

@final
class Writer:
    def __new__(
        cls,
        target: BinaryIO,
        passphrase: _Passphrase,
        *,
        profile: str = "standard",
        level: int = 3,
        kdf: tuple[int, int, int] | None = None,
        threads: int | None = None,
        lag: int | None = None,
        media_type: str | None = None,
        producer: str | None = None,
    ) -> Writer: ...
    def write(self, data: bytes | bytearray | memoryview) -> int: ...
    def entry(
        self,
        path: bytes,
        kind: int,
        size: int,
        mtime: int,
        mtime_ns: int,
        mode: int,
        offset: int,
        length: int,
        target: bytes | None,
        /,
    ) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...

@final
class Reader:
    def read(self, size: int = ..., /) -> bytes: ...
    def close(self) -> None: ...

@final
class Payload:
    @property
    def media_type(self) -> str | None: ...
    @property
    def producer(self) -> str | None: ...
    @property
    def created(self) -> int | None: ...
    @property
    def seekable(self) -> bool: ...
    def __len__(self) -> int: ...
    def read_at(self, offset: int, size: int) -> bytes: ...
    def reader(self) -> Reader: ...
    def copy_to(self, target: BinaryIO) -> Report: ...
    def salvage_to(self, target: BinaryIO) -> Report: ...
    def salvage_stream(self, target: BinaryIO) -> list[tuple[int, int]]: ...
    def entries(self) -> list[_Entry]: ...
    def report(self) -> Report | None: ...

@final
class Archive:
    @property
    def version(self) -> int: ...
    def validate(self, passphrase: _Passphrase | None = None) -> Report: ...
    def repair(self, target: BinaryIO) -> Report: ...
    def unlock(self, passphrase: _Passphrase) -> Payload: ...

def open(
    source: _Source, /, *replicas: _Source, threads: int | None = None, uncached: bool = False
) -> Archive: ...
