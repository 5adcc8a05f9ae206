"""Finding sector size, archive id, sectors and header pages in a file (sections 4, 17.2 and 20)."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import combinations

from .bits import majority
from .errors import Damaged, NotDbs, Unsupported
from .page import KEY_SLOT_SIZE, Page, parse_page, record_size, room
from .sector import FRAME_SIZE, MAGIC, MAGIC_VERSION, SIZES, Frame, distance, tag_holds

FRAMES_FOR_A_VOTE = 4096
BITS_TO_TRY = 16


def hits(data: bytes, needle: bytes) -> Iterator[int]:
    """Every offset at which the needle stands."""
    at = data.find(needle)
    while at >= 0:
        yield at
        at = data.find(needle, at + 1)


def page_places(data: bytes, *lasts: int) -> Iterator[int]:
    """Offsets of sectors with magic, version and slot of a header page: the first, the last, and all others."""
    for at in dict.fromkeys((0, *lasts, *hits(data, MAGIC_VERSION))):
        if at >= 0 and data[at : at + 5] == MAGIC_VERSION and data[at + 6 : at + 7] == b"\0":
            yield at


def near_magic(data: bytes, offset: int) -> bool:
    """At most 4 of the 40 bits of magic and version are wrong (section 20.1)."""
    return distance(data[offset : offset + 5], MAGIC_VERSION) <= 4


def dense_rot(data: bytes) -> tuple[int, int] | None:
    """S and the offset of the first whole sector, if no tag holds anywhere (20.1 step 3).

    Sectors that lie off the grid are found by the offsets of those magics that are exact, which is
    more than the text asks for.
    """
    found: dict[int, tuple[int, int]] = {}
    exact = list(hits(data, MAGIC_VERSION))
    for S in SIZES:
        phases = {0} | {phase for phase, _ in Counter(at % S for at in exact).most_common(1)}
        for phase in phases:
            places = range(phase, len(data) - S + 1, S)
            near = sum(near_magic(data, at) for at in places)
            if near >= 2 and 2 * near >= len(places):
                found[S] = max(found.get(S, (0, 0)), (near, phase))
    if not found:
        return None
    best = max(near for near, _ in found.values())
    S = max(S for S, (near, _) in found.items() if 10 * near >= 9 * best)
    return S, found[S][1]


def sector_size(data: bytes) -> tuple[int, int]:
    """S and the offset of a sector, modulo S (sections 17.1 step 1 and 20.1)."""
    for at in page_places(data, *(len(data) - S for S in SIZES)):
        for S in SIZES:
            page = parse_page(data[at + FRAME_SIZE : at + S - 16], data[at + 16 : at + 32], S)
            # What a page that is not supported says of S is not judged.
            if page and (not page.unsupported or tag_holds(data, at, S)):
                return S, at % S
    for at in hits(data, MAGIC_VERSION):
        for S in SIZES:
            if tag_holds(data, at, S):
                return S, at % S
    for at in hits(data, MAGIC):
        if data[at + 4 : at + 5] != bytes([3]) and any(tag_holds(data, at, S) for S in SIZES):
            raise Unsupported(f"version {data[at + 4]}")
    rot = dense_rot(data)
    if rot:
        return rot
    if data[:8] == b"DBSCON01":
        raise Unsupported("a file of version 1 or 2, which this reader does not know")
    raise NotDbs("no sector of a .dbs file")


class Source:
    """One input: its bytes, and what was found in it."""

    def __init__(self, data: bytes, archive: bytes | None = None) -> None:
        self.data = data
        self.S, self.phase = sector_size(data)
        all_intact = list(self._holding())
        self.holding = bool(all_intact)
        self.archive = archive or self._archive_id(all_intact)
        # Offsets and frames of the sectors of this archive whose tag holds, in the order of the
        # file; the rules that need the geometry are applied by `restrict`.
        self.intact = [(o, f) for o, f in all_intact if f.archive == self.archive]
        self.foreign = len(all_intact) - len(self.intact)
        self.offsets = [o for o, _ in self.intact]

    def payload(self, offset: int) -> bytes:
        return self.data[offset + FRAME_SIZE : offset + self.S - 16]

    def frame(self, offset: int) -> Frame:
        return Frame.parse(self.data[offset : offset + FRAME_SIZE])

    def _holding(self) -> Iterator[tuple[int, Frame]]:
        """Every sector of version 3 whose tag holds, whichever archive it belongs to."""
        for at in hits(self.data, MAGIC_VERSION):
            if tag_holds(self.data, at, self.S):
                yield at, self.frame(at)

    def _archive_id(self, intact: list[tuple[int, Frame]]) -> bytes:
        """Section 20.2."""
        for at in self._page_places():
            archive = self.frame(at).archive
            if parse_page(self.payload(at), archive, self.S):
                return archive
        page = self._damaged_page()
        if page:
            return page.archive
        frames = [self.data[at : at + FRAME_SIZE] for at in self.grid() if near_magic(self.data, at)]
        if not frames:
            frames = [f.pack() for _, f in intact]
        if not frames:
            raise NotDbs("no sector of a .dbs file")
        return majority(frames[:FRAMES_FOR_A_VOTE])[0][16:32]

    def _page_places(self) -> Iterator[int]:
        """Offsets of sectors with magic, version and slot of a header page, in the order of section 20.2."""
        last = len(self.data) - FRAME_SIZE - record_size(self.S)
        return (at for at in page_places(self.data, len(self.data) - self.S) if at <= last)

    def _damaged_page(self) -> Page | None:
        """The newest page that proves itself in a frame whose magic or version is damaged (20.4 step 3)."""
        pages = []
        for at in self.grid():
            wrong = distance(self.data[at : at + 5], MAGIC_VERSION)
            if 0 < wrong <= 8 and self.data[at + 6] == 0:
                pages.append(parse_page(self.payload(at), self.frame(at).archive, self.S))
        return max((p for p in pages if p), key=lambda p: p.generation, default=None)

    def grid(self) -> range:
        """Offsets of sectors if nothing is shifted."""
        return range(self.phase, len(self.data) - self.S + 1, self.S)

    def restrict(self, page: Page) -> None:
        """Ignores the sectors that are not legal under the geometry (section 4)."""
        legal = page.geometry.frame_legal
        self.intact = [(o, f) for o, f in self.intact if legal(f)]
        self.offsets = [o for o, _ in self.intact]

    def covered(self, offset: int) -> bool:
        """Whether the sector at `offset` would overlap an intact one."""
        i = bisect.bisect_left(self.offsets, offset - self.S + 1)
        return i < len(self.offsets) and self.offsets[i] < offset + self.S

    @cached_property
    def pages(self) -> list[Page]:
        """The different valid pages in the order of section 20.2, or one by majority (20.4 step 3)."""
        found: dict[bytes, Page] = {}
        seen: set[bytes] = set()
        for at in self._page_places():
            raw = self.payload(at)
            if self.frame(at).archive == self.archive and raw not in seen:
                seen.add(raw)
                page = parse_page(raw, self.archive, self.S)
                if page:
                    found.setdefault(page.record, page)
        if not found:
            page = self._damaged_page() or self._page_by_majority()
            if page:
                found[page.record] = page
        return list(found.values())

    def own_page(self, pages: list[Page]) -> Page | None:
        """The page of this input, of all that are in it (section 17.2, rules 1 and 2)."""
        ends = {0, len(self.data) - self.S}
        payloads = {self.payload(o) for o, f in self.intact if o in ends and f.slot == 0}
        if len(payloads) == 1 and ends <= set(self.offsets):
            record = payloads.pop()[: record_size(self.S)]
            pages = [p for p in pages if p.record == record] or pages
        kin = [p for p in pages if p.is_kin(pages[0])]
        return max(kin, key=lambda p: p.generation, default=None)

    def _page_by_majority(self) -> Page | None:
        R = record_size(self.S)
        places = {
            at
            for at in self.grid()
            if self.data[at + 6] == 0
            and near_magic(self.data, at)
            and distance(self.data[at + 16 : at + 32], self.archive) <= 16
        }
        places |= {at for at in (0, len(self.data) - self.S) if at >= 0}
        rows = [self.payload(at)[:R] for at in sorted(places)[:FRAMES_FOR_A_VOTE]]
        rows = [row for row in rows if len(row) == R]
        if not rows:
            return None
        record, margins = majority(rows)
        page = parse_page(record, self.archive, self.S)
        if page:
            return page
        cleaned, fixed = clear(record, self.S)
        page = parse_page(cleaned, self.archive, self.S)
        if page:
            return page
        narrow = [bit for _, bit in margins if bit // 8 not in fixed][:BITS_TO_TRY]
        value = int.from_bytes(cleaned, "little")
        for count in range(1, len(narrow) + 1):
            for bits in combinations(narrow, count):
                mask = sum(1 << bit for bit in bits)
                page = parse_page((value ^ mask).to_bytes(R, "little"), self.archive, self.S)
                if page:
                    return page
        return None


def clear(record: bytes, S: int) -> tuple[bytes, set[int]]:
    """The record with zeros where they have to be, and the bytes that were so fixed."""
    n = record[16] if 1 <= record[16] <= room(S) else 1
    fixed = {0, 1, *range(17, 32), *range(64 + KEY_SLOT_SIZE * n, record_size(S) - 32)}
    return bytes(0 if j in fixed else b for j, b in enumerate(record)), fixed


def choose(candidates: list[Page]) -> Page:
    """The page that counts, of those that the inputs have (section 17.2, rules 3 and 7)."""
    if not candidates:
        raise Damaged("no valid header page")
    page = max(candidates, key=lambda p: p.generation)  # of equal ones the first
    if page.unsupported:
        raise Unsupported(page.unsupported)
    return page
