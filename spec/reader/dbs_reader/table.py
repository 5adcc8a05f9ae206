"""The block table (section 14)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .page import Geometry
from .sector import Frame, h256, tag

ENTRY_SIZE = 33


@dataclass(frozen=True)
class TableBlock:
    """A valid table block."""

    first: int
    D: int
    I: int
    T: int
    entries: tuple[bytes, ...]

    @property
    def X(self) -> int:
        return self.D + self.I + 1


def block_hash(kind: int, k: int, block: int, archive: bytes, payloads: list[bytes]) -> bytes:
    """The block hash of an entry, from tags that are computed anew (section 14.1)."""
    tags = (
        tag(Frame(kind, slot, k, block, archive).pack() + payload)
        for slot, payload in enumerate(payloads, 1)
    )
    return h256("dbs3 block", b"".join(tags))


def parse_table(content: bytes, archive: bytes, block: int, geometry: Geometry) -> TableBlock | None:
    """The table block with this number, or None if it is not valid (section 14.2)."""
    if content[-32:] != h256("dbs3 table", archive + struct.pack("<Q", block) + content[:-32]):
        return None
    first, D, I, T, n, reserved = struct.unpack_from("<QQIIII", content)
    X = D + I + 1
    t = block - X
    if T != -(-X // geometry.E) or not 0 <= t < T or first != t * geometry.E or reserved:
        return None
    k = geometry.table_k(X, t)
    if n != min(geometry.E, X - first) or len(content) != k * geometry.P:
        return None
    if any(content[32 + ENTRY_SIZE * n : -32]):
        return None
    entries = tuple(content[o : o + ENTRY_SIZE] for o in range(32, 32 + ENTRY_SIZE * n, ENTRY_SIZE))
    if not all(1 <= e[0] <= geometry.K for e in entries):
        return None
    return TableBlock(first, D, I, T, entries)


def build_table(D: int, I: int, t: int, entries: list[bytes], archive: bytes, geometry: Geometry) -> bytes:
    """The content of table block t: k * P bytes."""
    X = D + I + 1
    T = -(-X // geometry.E)
    size = geometry.table_k(X, t) * geometry.P
    body = struct.pack("<QQIIII", t * geometry.E, D, I, T, len(entries), 0) + b"".join(entries)
    body = body.ljust(size - 32, b"\0")
    return body + h256("dbs3 table", archive + struct.pack("<Q", X + t) + body)


def root(archive: bytes, entries: list[bytes]) -> bytes:
    """The table root over entries 0 to D+I-1 (section 14.3)."""
    return h256("dbs3 root", archive + b"".join(entries))
