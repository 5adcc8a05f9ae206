"""As much of CBOR (RFC 8949) as sections 12 and 13 need: decoding to Python values."""

from __future__ import annotations

from typing import Any


class CborError(ValueError):
    """Not well-formed, or against a rule of section 12."""


class Text(str):
    """A text string, to be told from a byte string."""


class Other:
    """A value that the format has no use for (float, simple value, tag, array, inner map)."""


def decode(data: bytes, offset: int) -> tuple[Any, int]:
    """The item at `offset` and the offset behind it: an integer, a string of definite length, or `Other`."""
    major, _, argument, behind = head(data, offset)
    if major in (0, 1) and argument is not None:
        return (argument if major == 0 else -1 - argument), behind
    if major in (2, 3) and argument is not None:
        raw, behind = string(data, behind, major, argument)
        return (raw if major == 2 else text(raw)), behind
    return Other(), skip(data, offset)


def skip(data: bytes, offset: int) -> int:
    """The offset behind the item at `offset`, however deep it is, if it is well-formed."""
    # For every array, map and tag that is open: items that it will have (None: up to a break), and has.
    stack: list[list[int | None]] = []
    while True:
        major, info, argument, offset = head(data, offset)
        if (major, info) == (7, 31):
            if not stack or stack[-1][0] is not None or stack[-1][1] % stack[-1][2]:
                raise CborError("a break at a wrong place")
            stack.pop()
        elif argument is None and (info != 31 or major not in (2, 3, 4, 5)):
            raise CborError("an illegal head")
        elif major in (2, 3):
            raw, offset = string(data, offset, major, argument)
            if major == 3:
                text(raw)
        elif major in (4, 5, 6):
            each = 2 if major == 5 else 1
            count = 1 if major == 6 else None if argument is None else argument * each
            if count != 0:
                stack.append([count, 0, each])
                continue
        elif info == 24 and argument < 32:
            raise CborError("an illegal simple value")
        # An item is complete, and with it perhaps the one that it is in.
        while stack:
            stack[-1][1] += 1
            if stack[-1][1] != stack[-1][0]:
                break
            stack.pop()
        if not stack:
            return offset


def text(raw: bytes) -> Text:
    try:
        return Text(raw.decode())
    except UnicodeDecodeError as e:
        raise CborError("a text string that is not UTF-8") from e


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
        result[key], offset = decode(data, offset)
        last = key
    return result, offset
