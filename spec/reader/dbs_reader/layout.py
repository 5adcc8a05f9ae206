"""The canonical order (section 15)."""

from __future__ import annotations

from collections.abc import Iterator

from .page import NONE, Geometry


def _lag(N: int, lag: int, copy_b: int) -> int:
    """L' of section 15; 0 if there is no copy B to wait for."""
    if copy_b == NONE:
        return 0
    return N if lag == 0 else min(lag, N)


def order(N: int, lag: int, copy_b: int) -> Iterator[tuple[str, int]]:
    """Copies in the order of the file: ("A", block) and ("B", block)."""
    lag = _lag(N, lag, copy_b)
    for i in range(N + lag):
        if i < N:
            yield "A", i
        if i >= lag and copy_b != NONE:
            yield "B", i - lag


def order_backwards(N: int, lag: int, copy_b: int) -> Iterator[tuple[str, int]]:
    """The same from the end, without a list of N entries."""
    lag = _lag(N, lag, copy_b)
    for i in range(N + lag - 1, -1, -1):
        if i >= lag and copy_b != NONE:
            yield "B", i - lag
        if i < N:
            yield "A", i


class Layout:
    """Places of all sectors, counted in sectors from the beginning of the file."""

    def __init__(self, geometry: Geometry, lag: int, ks: list[int]) -> None:
        self.geometry = geometry
        self.ks = ks
        self.start: dict[tuple[str, int], int] = {}
        place = 0
        for copy, block in order(len(ks), lag, geometry.copy_b):
            self.start[copy, block] = place
            place += len(geometry.slots(copy, ks[block]))
        self.end = place
        self.sectors = place + 1

    def places(self, block: int, slot: int) -> list[int]:
        """Every place at which a slot of a block stands."""
        result = []
        for copy in "AB":
            if (copy, block) in self.start:
                slots = self.geometry.slots(copy, self.ks[block])
                if slot in slots:
                    result.append(self.start[copy, block] + slots.index(slot))
        return result
