"""Majorities over many damaged copies of the same bytes (section 20.4)."""

from __future__ import annotations

BIT = [bytes(value >> bit & 1 for value in range(256)) for bit in range(8)]


def majority(rows: list[bytes]) -> tuple[bytes, list[tuple[int, int]]]:
    """The bitwise majority, and (margin, bit number) of every bit, the narrowest first."""
    length, joined, count = len(rows[0]), b"".join(rows), len(rows)
    result = bytearray(length)
    margins = []
    for j in range(length):
        column = joined[j::length]
        for bit in range(8):
            ones = column.translate(BIT[bit]).count(1)
            if 2 * ones > count:
                result[j] |= 1 << bit
            margins.append((abs(2 * ones - count), 8 * j + bit))
    return bytes(result), sorted(margins)
