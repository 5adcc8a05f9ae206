"""Reading the structure of a file in which every sector is damaged (section 20.4, step 2)."""

from __future__ import annotations

from .bits import majority
from .locate import Source
from .page import Page
from .sector import DATA, END, INDEX, MANIFEST, TABLE, Frame, distance

FRAMES = (10, 6, 3, 16, 40)
FEW = 8  # one in this many frames may be further off than 32 bits


def _frames(source: Source, offset: int, count: int) -> list[bytes]:
    stop = min(len(source.data) - source.S + 1, offset + count * source.S)
    return [source.data[at : at + 32] for at in range(offset, stop, source.S)]


def _fits(source: Source, page: Page, offset: int, copy: str, frame: Frame) -> bool:
    """Whether a copy of the block of `frame` (its slot does not count) stands here."""
    slots = page.geometry.slots(copy, frame.k)
    raw = _frames(source, offset, len(slots))
    if len(raw) < len(slots):
        return False
    far = 0
    for slot, have in zip(slots, raw):
        want = Frame(frame.kind, slot, frame.k, frame.block, frame.archive).pack()
        far += distance(want, have) > 32
    if far * FEW > len(slots):
        return False
    middle = Frame.parse(majority(raw)[0])
    return (middle.kind, middle.k, middle.block) == (frame.kind, frame.k, frame.block)


def _copy_a(source: Source, page: Page, offset: int, block: int) -> tuple[int, int] | None:
    """(kind, k) of copy A of this block, if it begins at `offset`."""
    tried = set()
    for count in FRAMES:
        raw = _frames(source, offset, count)
        if not raw:
            return None
        middle = Frame.parse(majority(raw)[0])
        guess = middle.kind, middle.k
        if guess in tried or middle.kind not in (DATA, INDEX, MANIFEST, TABLE):
            continue
        tried.add(guess)
        if not 1 <= middle.k <= page.geometry.K:
            continue
        if _fits(source, page, offset, "A", Frame(middle.kind, 0, middle.k, block, page.archive)):
            return guess
    return None


def walk(source: Source, page: Page) -> list[tuple[int, int]] | None:
    """(kind, k) of all blocks, from the beginning of the file, or None if this leads nowhere."""
    blocks: list[tuple[int, int]] = []
    geometry, S = page.geometry, source.S
    offset = 0
    while True:
        i = len(blocks)
        guess = _copy_a(source, page, offset, i)
        if guess is None:
            break
        blocks.append(guess)
        offset += S * len(geometry.slots("A", guess[1]))
        if page.lag and i >= page.lag and geometry.copy_b:
            offset += S * len(geometry.slots("B", blocks[i - page.lag][1]))
    N = len(blocks)
    if geometry.shape(N) is None or blocks[-1][0] != TABLE:
        return None
    # Behind the last copy A stands the next copy B, or the end sector.
    if geometry.copy_b:
        first = max(0, N - page.lag) if page.lag else 0
        kind, k = blocks[first]
        if _fits(source, page, offset, "B", Frame(kind, 0, k, first, page.archive)):
            return blocks
    end = Frame(END, 0, 0, N, page.archive).pack()
    tail = [offset, len(source.data) - S]
    frames = [bytes(source.data[at : at + 32]).ljust(32, b"\0") for at in tail]
    if any(distance(frame, end) <= 32 and frame[5].bit_count() > 4 for frame in frames):
        return blocks
    return None
