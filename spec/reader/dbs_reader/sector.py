"""Sectors, frames, tags and the hashes of section 2 (sections 2 and 4)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

MAGIC = bytes.fromhex("89444253")
VERSION = 3
MAGIC_VERSION = MAGIC + bytes([VERSION])
FRAME_SIZE = 32
TAG_SIZE = 16
SIZES = [1 << power for power in range(16, 8, -1)]  # 65536 ... 512, the largest first

DATA, MANIFEST, TABLE, INDEX, END = 0, 1, 2, 3, 255
KIND_NAMES = {DATA: "data", MANIFEST: "manifest", TABLE: "table", INDEX: "index"}


def h256(person: str, message: bytes) -> bytes:
    """`H256` of section 2."""
    return hashlib.blake2b(message, digest_size=32, person=person.encode()).digest()


def h128(person: str, message: bytes) -> bytes:
    """`H128` of section 2."""
    return hashlib.blake2b(message, digest_size=16, person=person.encode()).digest()


def k256(key: bytes, person: str, message: bytes) -> bytes:
    """`K256` of section 2."""
    return hashlib.blake2b(message, digest_size=32, key=key, person=person.encode()).digest()


@dataclass(frozen=True)
class Frame:
    """Bytes 0..32 of a sector (section 4)."""

    kind: int
    slot: int
    k: int
    block: int
    archive: bytes

    def pack(self) -> bytes:
        return MAGIC_VERSION + struct.pack("<BBBQ", self.kind, self.slot, self.k, self.block) + self.archive

    @staticmethod
    def parse(raw: bytes) -> Frame:
        """The fields of 32 bytes, whatever they are."""
        kind, slot, k, block = struct.unpack_from("<BBBQ", raw, 5)
        return Frame(kind, slot, k, block, raw[16:32])


def tag(frame_and_payload: bytes) -> bytes:
    """The tag that the sector with these S-16 bytes has (section 4)."""
    return h128("dbs3 sector", frame_and_payload)


def tag_holds(data: bytes, offset: int, size: int) -> bool:
    """Whether the `size` bytes at `offset` end with their own tag."""
    end = offset + size
    return end <= len(data) and data[end - TAG_SIZE : end] == tag(data[offset : end - TAG_SIZE])


def build(frame: Frame, payload: bytes) -> bytes:
    """A whole sector."""
    body = frame.pack() + payload
    return body + tag(body)


def distance(a: bytes, b: bytes) -> int:
    """Number of bits in which two strings of equal length differ (section 19.1)."""
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).bit_count()
