"""The payload of a Django backup: a PAX tar, written and read as a stream."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

BLOCK = 512
#: Bytes handed on at a time.
PIECE = 1 << 20

META = "dbs/meta.json"
SUMMARY = "dbs/summary.json"


class Sink(Protocol):
    """Where a payload goes: the native writer, or anything with these two methods."""

    def write(self, data: bytes, /) -> Any: ...

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


@dataclass
class Member:
    """What the tar says of one file."""

    name: str
    size: int = 0
    mode: int = 0o644
    mtime_ns: int = 0
    type: bytes = tarfile.REGTYPE
    linkname: str = ""


# Kinds of entry in the container's index.
_KINDS = {tarfile.REGTYPE: 0, tarfile.DIRTYPE: 1, tarfile.SYMTYPE: 2, tarfile.LNKTYPE: 3}


def _raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class TarWriter:
    """Writes members one after the other; never goes back."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.offset = 0

    def _write(self, data: bytes) -> None:
        self.sink.write(data)
        self.offset += len(data)

    def _header(self, member: Member, extra: dict[str, str] | None) -> int:
        info = tarfile.TarInfo(member.name)
        info.size = member.size
        info.mode = stat.S_IMODE(member.mode)
        info.type = member.type
        info.linkname = member.linkname
        seconds, nanoseconds = divmod(member.mtime_ns, 10**9)
        info.mtime = seconds
        info.pax_headers = dict(extra or {})
        if nanoseconds or not 0 <= seconds < 8**11:
            sign = ""
            if seconds < 0 and nanoseconds:
                # A decimal fraction counts away from zero.
                seconds, nanoseconds, sign = -(seconds + 1), 10**9 - nanoseconds, "-"
            fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
            info.pax_headers["mtime"] = f"{sign}{seconds}{fraction}"
        start = self.offset
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        return start

    def add(
        self,
        member: Member,
        pieces: Iterable[bytes] = (),
        extra: dict[str, str] | None = None,
    ) -> None:
        """Writes one member; `pieces` together must be exactly `member.size` bytes."""
        start = self._header(member, extra)
        written = 0
        for piece in pieces:
            self._write(piece)
            written += len(piece)
        if written != member.size:
            raise ValueError(f"{member.name}: {written} bytes instead of {member.size}")
        if written % BLOCK:
            self._write(bytes(BLOCK - written % BLOCK))
        seconds, nanoseconds = divmod(member.mtime_ns, 10**9)
        self.sink.entry(
            _raw(member.name),
            _KINDS.get(member.type, 4),
            member.size,
            seconds,
            nanoseconds,
            stat.S_IMODE(member.mode),
            start,
            self.offset - start,
            _raw(member.linkname) if member.linkname else None,
        )

    def add_bytes(self, name: str, data: bytes, mtime_ns: int) -> None:
        self.add(Member(name, len(data), 0o644, mtime_ns), [data] if data else [])

    def close(self) -> None:
        """Writes the two empty blocks that end a tar."""
        self._write(bytes(2 * BLOCK))


def mtime_ns(info: tarfile.TarInfo) -> int:
    """The modification time to the nanosecond, which `TarInfo.mtime` (a float) cannot hold."""
    text = info.pax_headers.get("mtime")
    if text is None:
        return int(info.mtime) * 10**9
    negative = text.startswith("-")
    whole, _, fraction = text.lstrip("-").partition(".")
    try:
        value = int(whole or 0) * 10**9 + int((fraction + "000000000")[:9])
    except ValueError:
        return 0
    return -value if negative else value


def members(stream: Any, seekable: bool) -> Iterator[tuple[tarfile.TarInfo, Any]]:
    """The members of a payload with a stream for each; a skipped one is skipped over."""
    with tarfile.open(
        fileobj=stream,
        mode="r:" if seekable else "r|",
        bufsize=PIECE,
        encoding="utf-8",
        errors="surrogateescape",
    ) as tar:
        for info in tar:
            yield info, (tar.extractfile(info) if info.isfile() else None)
            # Keeps the memory constant: a tar would otherwise remember every member.
            tar.members = []  # type: ignore[attr-defined]


def pieces(stream: Any, size: int = PIECE) -> Iterator[bytes]:
    while True:
        piece = stream.read(size)
        if not piece:
            return
        yield piece
