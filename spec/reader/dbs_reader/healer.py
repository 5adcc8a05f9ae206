"""Verifier and Healer: the canonical file, and what differs from it (section 18)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from .archive import Archive
from .code import fill
from .errors import Damaged
from .layout import order
from .sector import DATA, END, KIND_NAMES, Frame, build

LISTED = 1000


@dataclass
class Report:
    """What a Verifier says, with the names of behaviour 9."""

    status: str
    blocks: int
    blocks_healed: int
    sectors: int
    sectors_bad: int
    lost: list[int]
    notes: list[str] = field(default_factory=list)


def canonical(archive: Archive) -> Iterator[tuple[int, bytes]]:
    """(block, sector) of the whole file in canonical order; the block of the end sector is N.

    Of a lost block there are the frames alone.
    """
    assert archive.N is not None
    geometry, page = archive.geometry, archive.page.payload()
    for copy, block in order(archive.N, archive.page.lag, geometry.copy_b):
        kind, k = archive.kind_of(block), archive.k_of(block)
        rows = archive.heal(block).rows
        slots = geometry.slots(copy, k or 1)
        if rows is None or k is None:
            for slot in slots:
                yield block, Frame(kind, slot, k or 1, block, archive.id).pack()
            continue
        data = dict(enumerate(rows, 1))
        payloads = fill(geometry.K, k, data, [s for s in slots if s])
        payloads[0] = page
        for slot in slots:
            yield block, build(Frame(kind, slot, k, block, archive.id), payloads[slot])
    yield archive.N, build(Frame(END, 0, 0, archive.N, archive.id), page)


def payload_range(archive: Archive, block: int) -> tuple[int, int]:
    """The payload bytes that a data block holds, as far as is known without the manifest."""
    return block * archive.geometry.C, (block + 1) * archive.geometry.C


def verify(archive: Archive) -> Report:
    """Section 18 without writing: compares the file with the one that would be written."""
    if archive.N is None:
        seen = sorted(archive.by_block)
        notes = ["neither manifest nor table is there: the backup was not finished, or its end is lost"]
        return Report("unrecoverable", len(seen), 0, 0, 0, [], archive.notes + notes)
    if archive.hopeless:
        notes = [f"{archive.N} blocks are claimed, of {len(archive.by_block)} there are sectors"]
        return Report("unrecoverable", archive.N, 0, 0, 0, [], archive.notes + notes)
    lost = archive.heal_all()
    source = archive.sources[0]
    S, data = source.S, source.data
    intact = set(source.offsets)
    bad: Counter[int] = Counter()
    sectors = moved = 0
    for block, sector in canonical(archive):
        at = sectors * S
        if len(sector) == S:
            bad[block] += data[at : at + S] != sector
        else:
            bad[block] += data[at : at + len(sector)] != sector or at not in intact
        sectors += 1
    clean = not bad.total() and len(data) == sectors * S
    healed = len({b for b in bad if bad[b]} - set(lost) - {archive.N})
    notes = list(archive.notes)
    if len(archive.pages) > 1:
        notes.append(f"{len(archive.pages)} different header pages")
    if source.foreign:
        notes.append(f"{source.foreign} sectors of another archive")
    if archive.layout:
        moved = len(source.intact) - archive.in_place(source)
    if moved:
        notes.append(f"{moved} sectors do not stand at their places")
    if len(data) > sectors * S:
        notes.append("bytes that do not belong to the archive")
    if any(archive.heal(b).conflict for b in range(archive.N)):
        notes.append("conflicting sectors")
    status = "unrecoverable" if lost else "clean" if clean else "recoverable"
    return Report(status, archive.N, healed, sectors, bad.total(), lost, notes)


def repaired(archive: Archive) -> bytes:
    """The file as it was written (section 18, step 7), or `Damaged`."""
    if archive.N is None or archive.hopeless:
        raise Damaged("neither table nor manifest say what the archive consists of")
    lost = archive.heal_all()
    if lost:
        raise Damaged(describe(archive, lost), lost)
    return b"".join(sector for _, sector in canonical(archive))


def describe(archive: Archive, lost: list[int]) -> str:
    """The lost blocks in words."""
    parts = []
    for block in lost[:LISTED]:
        kind = archive.kind_of(block)
        part = f"{KIND_NAMES[kind]} block {block}"
        if kind == DATA:
            start, end = payload_range(archive, block)
            part += f" (payload {start}..{end})"
        parts.append(part)
    return "lost: " + ", ".join(parts)
