"""What a file is and what it survives (behaviour 7, sections 23 and 24)."""

from __future__ import annotations

from typing import Any

from .archive import Archive
from .errors import Damaged
from .page import CODED, MIRRORED, NONE

PROFILES = {
    (223, 16, 16, MIRRORED): "standard",
    (119, 8, 128, CODED): "coded",
    (223, 32, 0, NONE): "light",
}


def facts(archive: Archive) -> dict[str, Any]:
    """The fields of `info --json`. The two figures of section 24 are left to the program proper."""
    g, page, layout = archive.geometry, archive.page, archive.layout
    if layout is None or archive.N is None:
        raise Damaged("the table cannot be had")
    return {
        "format_version": 3,
        "profile": PROFILES.get((g.K, g.M_A, g.M_B, g.copy_b)),
        "archive": archive.id.hex(),
        "sector_size": g.S,
        "data_sectors": g.K,
        "parity_a": g.M_A,
        "parity_b": g.M_B,
        "copy_b": ["none", "mirrored", "coded"][g.copy_b],
        "lag": page.lag,
        "generation": page.generation,
        "key_slots": [
            {"kdf": "argon2id", "passes": s.t, "memory_kib": s.m, "lanes": s.p} if s.type == 1 else None
            for s in page.key_slots
        ],
        "blocks": archive.N,
        "file_bytes": layout.sectors * g.S,
        "survives": {
            "burst_bytes": burst(archive),
            "sectors_of_each_block": any_sectors(archive),
        },
    }


def burst(archive: Archive) -> int:
    """(W - 1) * S + 1 with W of theorem G5."""
    g, layout = archive.geometry, archive.layout
    assert layout is not None
    widths = []
    for block, k in enumerate(layout.ks):
        m_a, m_b = g.parity(g.M_A, k), g.parity(g.M_B, k)
        if g.copy_b == NONE or (g.copy_b == CODED and m_b < k):
            widths.append(m_a + m_b)
            continue
        distance = layout.start["B", block] - layout.start["A", block]
        widths.append(distance + m_b - (k if g.copy_b == CODED else 0))
    W = min(widths)
    return (W - 1) * g.S + 1 if W else 0


def any_sectors(archive: Archive) -> int:
    """Theorem G4, for the weakest block."""
    g, layout = archive.geometry, archive.layout
    assert layout is not None
    return min(
        g.parity(g.M_A, k) + g.parity(g.M_B, k) + (g.copy_b == MIRRORED) for k in layout.ks
    )
