"""Theorems G4 to G7 on small files of testvectors/v3/open, exhaustively where that is cheap."""

from __future__ import annotations

import random
import sys
from functools import lru_cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dbs_reader.archive import Archive  # noqa: E402
from dbs_reader.errors import DbsError  # noqa: E402
from dbs_reader.facts import any_sectors, burst  # noqa: E402
from dbs_reader.healer import repaired  # noqa: E402
from run_vectors import ROOT, Vector  # noqa: E402

NAMES = ["spec-section-28-shape", "coded", "light", "lag-2", "lag-coded", "no-parity-a", "single", "two-tables"]


@lru_cache
def base(name: str) -> bytes:
    return Vector(ROOT / "open" / f"{name}.vec").data


def shape(data: bytes) -> Archive:
    archive = Archive([data])
    archive.find_shape()
    return archive


def heal(data: bytes) -> bytes | None:
    try:
        return repaired(shape(data))
    except DbsError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_one_burst_is_healed_up_to_the_exact_bound(name: str) -> None:
    data = base(name)
    archive = shape(data)
    S, n = archive.geometry.S, archive.layout.sectors
    W = (burst(archive) - 1) // S + 1
    step = max(1, n // 40)
    for first in range(0, n - W + 1, step):
        wiped = data[: first * S] + bytes(W * S) + data[(first + W) * S :]
        assert heal(wiped) == data, f"{W} sectors from {first}"
    assert heal(data[W * S :]) == data and heal(data[: -W * S or None]) == data
    if name.startswith("lag"):
        return  # the table is the weakest block here, and it can be rebuilt (section 18, step 6)
    one_more = (
        heal(data[: f * S] + bytes((W + 1) * S) + data[(f + W + 1) * S :]) for f in range(n - W)
    )
    assert any(healed is None for healed in one_more)


@pytest.mark.parametrize("name", NAMES)
def test_sectors_in_any_order_with_junk_between(name: str) -> None:
    random.seed(name)
    data = base(name)
    S = shape(data).geometry.S
    sectors = [data[o : o + S] for o in range(0, len(data), S)]
    random.shuffle(sectors)
    assert heal(b"".join(random.randbytes(random.randrange(30)) + s for s in sectors)) == data


@pytest.mark.parametrize("name", NAMES)
def test_any_sectors_of_each_block(name: str) -> None:
    random.seed(name)
    data = base(name)
    archive = shape(data)
    S, count = archive.geometry.S, any_sectors(archive)
    for _ in range(10):
        damaged = bytearray(data)
        places: dict[int, list[int]] = {}
        for o in range(S, len(data), S):
            places.setdefault(int.from_bytes(data[o + 8 : o + 16], "little"), []).append(o)
        for offsets in places.values():
            for o in random.sample(offsets, min(count, len(offsets))):
                damaged[o : o + S] = bytes(S)
        assert heal(bytes(damaged)) == data


def test_every_cut_point_and_every_byte_removed() -> None:
    data = base("spec-section-28-shape")
    for at in range(0, len(data), 97):
        assert heal(data[:at] + data[at + 1 :]) == data
        assert heal(data[:at] + b"x" + data[at:]) == data
