"""As much of CBOR (RFC 8949) as sections 12 and 13 need: decoding to Python values."""

from __future__ import annotations

import struct
from typing import Any

MAX_DEPTH = 64


class CborError(ValueError):
    """Not well-formed, or against a rule of section 12."""


class Text(str):
    """A text string, to be told from a byte string."""


class Other:
    """A value that the format has no use for (float, simple value, tag, array, inner map)."""


BREAK = object()


def decode(data: bytes, offset: int, depth: int = 0) -> tuple[Any, int]:
    """The item at `offset` and the offset behind it. Maps only as `Other`; see `decode_map`."""
    if depth > MAX_DEPTH:
        raise CborError("nested too deeply")
    major, info, argument, offset = head(data, offset)
    if argument is None and info != 31:
        raise CborError("reserved additional information")
    if major in (0, 1):
        if argument is None:
            raise CborError("an integer of indefinite length")
        return (argument if major == 0 else -1 - argument), offset
    if major in (2, 3):
        raw, offset = string(data, offset, major, argument)
        if major == 2:
            return raw, offset
        try:
            return Text(raw.decode()), offset
        except UnicodeDecodeError as e:
            raise CborError("a text string that is not UTF-8") from e
    if major in (4, 5):
        count = 0
        while argument is None or count < argument * (major - 3):
            item, offset = decode(data, offset, depth + 1)
            if item is BREAK:
                if argument is not None or (major == 5 and count % 2):
                    raise CborError("a break at a wrong place")
                break
            count += 1
        return Other(), offset
    if major == 6:
        item, offset = decode(data, offset, depth + 1)
        if argument is None or item is BREAK:
            raise CborError("a tag without a value")
        return Other(), offset
    if info == 31:
        return BREAK, offset
    if info == 24 and argument is not None and argument < 32:
        raise CborError("an illegal simple value")
    return Other(), offset


def head(data: bytes, offset: int) -> tuple[int, int, int | None, int]:
    """Major type, additional information, argument (None if there is none), offset behind."""
    if offset >= len(data):
        raise CborError("ends too early")
    major, info = data[offset] >> 5, data[offset] & 31
    offset += 1
    if info < 24:
        return major, info, info, offset
    if info > 27:
        return major, info, None, offset
    size = 1 << info - 24
    if offset + size > len(data):
        raise CborError("ends too early")
    return major, info, int.from_bytes(data[offset : offset + size], "big"), offset + size


def string(data: bytes, offset: int, major: int, length: int | None) -> tuple[bytes, int]:
    if length is not None:
        if offset + length > len(data):
            raise CborError("ends too early")
        return data[offset : offset + length], offset + length
    pieces = []
    while True:  # indefinite length: pieces of the same type up to a break
        piece_major, info, piece_length, offset = head(data, offset)
        if (piece_major, info) == (7, 31):
            return b"".join(pieces), offset
        if piece_major != major or piece_length is None:
            raise CborError("a wrong piece of a string")
        piece, offset = string(data, offset, major, piece_length)
        pieces.append(piece)


def decode_map(data: bytes, offset: int) -> tuple[dict[int, Any], int]:
    """A map under the rules of section 12: definite length, integer keys that ascend strictly."""
    major, _, count, offset = head(data, offset)
    if major != 5 or count is None:
        raise CborError("not a map of definite length")
    result: dict[int, Any] = {}
    last: int | None = None
    for _ in range(count):
        key, offset = decode(data, offset)
        if not isinstance(key, int):
            raise CborError("a key that is not an integer")
        if key < 0:
            raise CborError(f"the critical key {key}")
        if last is not None and key <= last:
            raise CborError("keys do not ascend")
        value, offset = decode(data, offset)
        if value is BREAK:
            raise CborError("a break at a wrong place")
        result[key] = value
        last = key
    return result, offset
