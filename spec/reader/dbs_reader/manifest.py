"""Manifest and index (sections 11 to 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .cbor import CborError, Text, decode_map
from .errors import Unsupported
from .page import Geometry

TAR = "application/x-tar"
U64, I63 = 1 << 64, 1 << 63


@dataclass(frozen=True)
class Manifest:
    """Section 13."""

    media_type: str
    producer: str
    created: int
    length: int
    D: int
    I: int
    root: bytes
    entries: int
    index: bytes | None


def parse_manifest(raw: bytes, geometry: Geometry, block: int) -> Manifest:
    """The manifest in the raw bytes of the block with this number, or `Unsupported`."""
    try:
        values, end = decode_map(raw, 0)
    except CborError as e:
        raise Unsupported(f"manifest: {e}") from e
    if end != len(raw):
        raise Unsupported("manifest: bytes behind the map")
    m = Manifest(
        media_type=_get(values, 1, Text),
        producer=_get(values, 2, Text),
        created=_get(values, 3, int, -I63, I63),
        length=_get(values, 4, int, 0, U64),
        D=_get(values, 5, int, 0, U64),
        I=_get(values, 6, int, 0, 1 << 32),
        root=_get(values, 7, bytes),
        entries=_get(values, 8, int, 0, U64),
        index=_get(values, 9, bytes) if 9 in values else None,
    )
    if len(m.root) != 32:
        raise Unsupported("manifest: table root has not 32 bytes")
    if m.D != -(-m.length // geometry.C) or block != m.D + m.I:
        raise Unsupported("manifest: payload length, D, I and block number do not agree")
    places = [m.index is not None, m.I > 0]
    if sum(places) != (m.entries > 0):
        raise Unsupported("manifest: the index and its number of entries do not agree")
    if m.entries and m.media_type != TAR:
        raise Unsupported("manifest: an index of a payload that is not a tar stream")
    return m


@dataclass(frozen=True)
class Entry:
    """An entry of the index (section 12)."""

    path: bytes
    type: int
    size: int
    offset: int
    length: int


def parse_entries(raw: bytes) -> list[Entry]:
    """The whole entries of an index block or of key 9, or `Unsupported`."""
    entries, offset = [], 0
    try:
        while offset < len(raw):
            v, offset = decode_map(raw, offset)
            _get(v, 4, int, -I63, I63), _get(v, 6, int, 0, U64)
            if 5 in v:
                _get(v, 5, int, 0, 10**9)
            if 9 in v:
                _get(v, 9, bytes)
            entries.append(
                Entry(
                    path=_get(v, 1, bytes),
                    type=_get(v, 2, int, 0, 5),
                    size=_get(v, 3, int, 0, U64),
                    offset=_get(v, 7, int, 0, U64),
                    length=_get(v, 8, int, 0, U64),
                )
            )
    except CborError as e:
        raise Unsupported(f"index: {e}") from e
    return entries


def check_entries(entries: list[Entry], manifest: Manifest) -> None:
    """Number, order and bounds of all entries together."""
    if len(entries) != manifest.entries:
        raise Unsupported("index: not as many entries as the manifest says")
    last = -1
    for e in entries:
        if e.offset <= last or e.offset + e.length > manifest.length:
            raise Unsupported("index: offsets do not ascend, or lead beyond the payload")
        last = e.offset


def _get(values: dict[int, Any], key: int, kind: type, low: int = 0, high: int = 0) -> Any:
    """A value that has to be there, of this type and within low..high."""
    value = values.get(key)
    if not isinstance(value, kind) or (kind is int and not low <= value < high):
        raise Unsupported(f"key {key} is missing or has an illegal value")
    return value
