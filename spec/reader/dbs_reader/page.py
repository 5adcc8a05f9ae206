"""Geometry, header page and key slots as bytes (sections 5, 7, 8 and 14.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .sector import END, Frame, h256

NONE, MIRRORED, CODED = 0, 1, 2
KEY_SLOT_SIZE = 84


@dataclass(frozen=True)
class Geometry:
    """The numbers of section 5."""

    S: int
    K: int
    M_A: int
    M_B: int
    copy_b: int

    @property
    def P(self) -> int:
        return self.S - 48

    @property
    def C(self) -> int:
        return self.K * self.P - 32

    @property
    def E(self) -> int:
        return (self.K * self.P - 64) // 33

    def legal(self, lag: int) -> bool:
        if self.K < 1 or self.copy_b not in (NONE, MIRRORED, CODED):
            return False
        if 1 + self.K + self.M_A + self.M_B > 256 or self.M_A + self.M_B < 1:
            return False
        if self.copy_b == NONE and (self.M_B or lag):
            return False
        return not (self.copy_b == CODED and self.M_B < 1)

    def parity(self, M: int, k: int) -> int:
        """m(M, k) of section 5."""
        base = min(M, 8)
        return base + (M - base) * k // self.K

    def slots(self, copy: str, k: int) -> list[int]:
        """Slots of copy "A" or "B" of a block with k data sectors, in the order of the file."""
        data = list(range(1, k + 1))
        if copy == "A":
            first = self.K + 1
            return [0, *data, *range(first, first + self.parity(self.M_A, k))]
        if self.copy_b == NONE:
            return []
        first = self.K + self.M_A + 1
        parity = range(first, first + self.parity(self.M_B, k))
        return [0, *(data if self.copy_b == MIRRORED else []), *parity]

    def code_slots(self, k: int) -> list[int]:
        """All slots of a block that belong to its code word."""
        return sorted({*self.slots("A", k), *self.slots("B", k)} - {0})

    def shape(self, N: int) -> tuple[int, int] | None:
        """(X, T) of an archive of N blocks, or None if N is not legal (section 14.4)."""
        T = -(-N // (self.E + 1))
        X = N - T
        return (X, T) if X >= 1 and -(-X // self.E) == T and T < 1 << 32 else None

    def blocks(self, X: int) -> int:
        """N for X blocks that are not table blocks."""
        return X + -(-X // self.E)

    def table_k(self, X: int, t: int) -> int:
        """k of table block t (section 14.2)."""
        n = min(self.E, X - t * self.E)
        return -(-(64 + 33 * n) // self.P)

    def frame_legal(self, frame: Frame) -> bool:
        """The rules of section 4 for kind, slot, k and block; the magic is checked elsewhere."""
        if frame.kind == END:
            return frame.k == 0 and frame.slot == 0 and self.shape(frame.block) is not None
        if frame.kind > 3 or not 1 <= frame.k <= self.K:
            return False
        slot, k = frame.slot, frame.k
        if slot <= k:
            return True
        first_a, first_b = self.K + 1, self.K + self.M_A + 1
        return (
            first_a <= slot < first_a + self.parity(self.M_A, k)
            or first_b <= slot < first_b + self.parity(self.M_B, k)
        )


@dataclass(frozen=True)
class KeySlot:
    """A key slot (section 8)."""

    raw: bytes

    @property
    def type(self) -> int:
        return self.raw[0]

    @property
    def p(self) -> int:
        return self.raw[1]

    @property
    def t(self) -> int:
        return struct.unpack_from("<H", self.raw, 2)[0]

    @property
    def m(self) -> int:
        return struct.unpack_from("<I", self.raw, 4)[0]

    def legal(self) -> bool:
        return self.type != 1 or (self.p >= 1 and self.t >= 1 and self.m >= 8 * self.p)


@dataclass(frozen=True)
class Page:
    """A valid header page, or one that is well and not supported (section 7)."""

    archive: bytes
    record: bytes
    geometry: Geometry
    lag: int
    generation: int
    key_slots: tuple[KeySlot, ...]
    unsupported: str | None

    def is_kin(self, other: Page) -> bool:
        """Whether a change of key slots can have made one from the other (section 17.2, rules 2 and 7)."""
        same = (self.geometry, self.lag) == (other.geometry, other.lag)
        return same or bool(self.unsupported or other.unsupported)

    def payload(self) -> bytes:
        """The payload of every sector of slot 0."""
        return self.record.ljust(self.geometry.P, b"\0")


def record_size(S: int) -> int:
    """R of section 5."""
    return min(S - 48, 768)


def room(S: int) -> int:
    """Number of key slots that a page has room for."""
    return min(8, (record_size(S) - 96) // KEY_SLOT_SIZE)


def parse_page(payload: bytes, archive: bytes, S: int) -> Page | None:
    """The page in a payload, or None if it is not valid.

    The marks of `Unsupported` are looked at before the rules of legality: a page with an unknown
    critical flag may well have fields that version 3 does not know.
    """
    R = record_size(S)
    record = bytes(payload[:R])
    if len(record) < R or record[R - 32 :] != h256("dbs3 page", archive + record[: R - 32]):
        return None
    size, K, M_A, M_B, copy_b, suite = record[2:8]
    lag, generation = struct.unpack_from("<II", record, 8)
    n = record[16]
    end = 64 + KEY_SLOT_SIZE * n
    unsupported = None
    if record[1]:
        unsupported = f"critical flags {record[1]:#04x}"
    elif suite != 1:
        unsupported = f"cipher suite {suite}"
    elif any(record[17:32]) or (1 <= n <= room(S) and any(record[end : R - 32])):
        unsupported = "a reserved byte of the header page is not zero"
    geometry = Geometry(S, K, M_A, M_B, copy_b)
    slots = tuple(
        KeySlot(record[o : o + KEY_SLOT_SIZE])
        for o in range(64, min(end, 64 + KEY_SLOT_SIZE * room(S)), KEY_SLOT_SIZE)
    )
    if unsupported is None:
        if not 9 <= size <= 16 or 1 << size != S:
            return None
        if not geometry.legal(lag) or not 1 <= n <= room(S) or not all(s.legal() for s in slots):
            return None
    return Page(archive, record, geometry, lag, generation, slots, unsupported)
