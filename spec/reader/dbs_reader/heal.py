"""Healing one block: the ladder, believed sectors, columns, conflicts (section 19)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice, product

from .code import correct, fill, vote
from .locate import Source
from .page import Geometry
from .sector import Frame, distance

Judge = Callable[[list[bytes]], bool]

MAX_WRONG_BITS = 32
MAX_COMBINATIONS = 16


@dataclass
class Found:
    """What the inputs hold of one block: distinct payloads by slot."""

    intact: dict[int, list[bytes]] = field(default_factory=dict)
    believed: dict[int, list[bytes]] = field(default_factory=dict)

    def add(self, slot: int, payload: bytes) -> None:
        payloads = self.intact.setdefault(slot, [])
        if payload not in payloads:
            payloads.append(payload)

    @property
    def conflict(self) -> bool:
        return any(len(p) > 1 for p in self.intact.values())


@dataclass
class Healed:
    """The outcome. `rows` are the data sectors' payloads, or None if the block failed."""

    rows: list[bytes] | None
    rung: int
    altered: bool = False  # refused, though it was whole (section 19.4)
    conflict: bool = False


def believe(
    source: Source, bases: Iterable[int], slots: list[int], kind: int, k: int, block: int
) -> dict[int, tuple[int, int]]:
    """Offsets of believed sectors, with (slot, wrong bits), for one copy of a block (19.1).

    `bases` are the file offsets at which the copy may begin. A sector counts for the slot whose
    frame it is nearest to, if several places are possible. A whole copy is disbelieved if less
    than a quarter of its near frames say just the slot and the block that are expected.
    """
    result: dict[int, tuple[int, int]] = {}
    expected = [Frame(kind, s, k, block, source.archive).pack() for s in slots]
    for base in bases:
        near: list[tuple[int, int, int]] = []
        total = exact = 0
        for i, frame in enumerate(expected):
            at = base + i * source.S
            if at < 0 or at + source.S > len(source.data):
                continue
            raw = source.data[at : at + 32]
            wrong = distance(raw, frame)
            if wrong > MAX_WRONG_BITS:
                continue
            total += 1
            exact += raw[6] == frame[6] and raw[8:10] == frame[8:10]
            if slots[i] and not source.covered(at):
                near.append((at, slots[i], wrong))
        if 4 * exact >= total:
            for at, slot, wrong in near:
                if at not in result or wrong < result[at][1]:
                    result[at] = slot, wrong
    return result


def received(payloads: list[bytes]) -> tuple[bytes, bytes]:
    """One row out of several believed ones, and the mask of erased columns (section 19.2)."""
    if len(payloads) == 1:
        return payloads[0], bytes(len(payloads[0]))
    row, mask = bytearray(len(payloads[0])), bytearray(len(payloads[0]))
    for j, column in enumerate(zip(*payloads)):
        best = max(column, key=column.count)
        if column.count(best) == len(column) or (len(column) > 2 and 2 * column.count(best) > len(column)):
            row[j] = best
        else:
            mask[j] = 1
    return bytes(row), bytes(mask)


def ladder(
    found: Found,
    geometry: Geometry,
    k: int,
    judge: Judge | None,
    direct: Iterable[list[bytes]] = (),
    believed: Callable[[], dict[int, list[bytes]]] | None = None,
) -> Healed:
    """Rungs 1 to 5. `direct` are candidates of rung 1; `believed` is asked only in rung 4."""
    K = geometry.K
    data = range(1, k + 1)
    for rows in direct:
        if judge is not None and judge(rows):
            return Healed(rows, 1)
    slots = geometry.code_slots(k)
    found.intact = {s: p for s, p in found.intact.items() if s in slots}
    refused = False
    for rung, rows in _candidates(found, K, k, with_conflicts=judge is not None):
        if judge is None or judge(rows):
            return Healed(rows, rung, conflict=found.conflict)
        refused = True
    failed = Healed(None, 5, altered=refused, conflict=found.conflict)
    if judge is None or believed is None:
        return failed
    # Rung 4.
    found.believed = {s: p for s, p in believed().items() if s in slots}
    trusted = not (refused or found.conflict)
    if k == 1:
        # With an intact sector there was a candidate, so the intact ones are not trusted here.
        ballots = [(s, row) for part in (found.intact, found.believed) for s in part for row in part[s]]
        candidates = [[row] for row in vote(ballots, K)]
    else:
        candidates = _columns(found, K, k, slots, trusted)
    for rows in candidates:
        if judge(rows):
            return Healed(rows, 4, conflict=found.conflict)
    return failed


def _columns(found: Found, K: int, k: int, slots: list[int], trusted: bool) -> list[list[bytes]]:
    """The candidate of rung 4, if there is one (section 19.2)."""
    rows: dict[int, bytes] = {}
    erased: dict[int, bytes] = {}
    certain: set[int] = set()
    for s in slots:
        intact, other = found.intact.get(s, []), found.believed.get(s, [])
        if trusted and intact:
            rows[s] = intact[0]
            certain.add(s)
        elif intact or other:
            rows[s], erased[s] = received(intact + other)
    fixed = correct(K, k, rows, erased, certain)
    return [list(fixed.values())] if fixed else []


def _candidates(found: Found, K: int, k: int, with_conflicts: bool) -> Iterable[tuple[int, list[bytes]]]:
    """Candidates of rungs 2 and 3, those without conflicting slots first (section 19.5)."""
    data = list(range(1, k + 1))
    clean = {s: p[0] for s, p in found.intact.items() if len(p) == 1}
    if len(clean) >= k:
        yield (2 if all(s in clean for s in data) else 3), list(fill(K, k, clean, data).values())
    torn = sorted(s for s, p in found.intact.items() if len(p) > 1)
    if not with_conflicts or not torn or len(clean) + len(torn) < k:
        return
    # As few conflicting slots as are needed, data slots first.
    needed = [s for s in torn if s <= k] or torn
    if len(clean) + len(needed) < k:
        needed = torn
    for choice in islice(product(*(found.intact[s] for s in needed)), MAX_COMBINATIONS):
        rows = clean | dict(zip(needed, choice))
        yield 3, list(fill(K, k, rows, data).values())
