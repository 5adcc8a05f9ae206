"""Sealed blocks: data, index and manifest (section 10)."""

from __future__ import annotations

import io
import struct
import zlib

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import Damaged, Unsupported
from .keys import Keys
from .page import Geometry


def unseal(sealed: bytes, keys: Keys, archive: bytes, block: int, kind: int, k: int) -> bytes | None:
    """The plaintext, or None if the AEAD refuses."""
    nonce = struct.pack("<QB3x", block, kind)
    aad = archive + struct.pack("<QBB", block, kind, k)
    try:
        return AESGCM(keys.block_key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        return None


def raw_bytes(plain: bytes, geometry: Geometry, k: int, block: int) -> bytes:
    """Checks the rules of section 10 and returns the raw bytes of an authentic plaintext."""
    codec, reserved, stored_length, raw_length, crc = struct.unpack_from("<B3sIII", plain)
    if codec not in (0, 1):
        raise Unsupported(f"block {block}: codec {codec}")
    if any(reserved) or any(plain[16 + stored_length :]):
        raise Unsupported(f"block {block}: bytes that have to be zero are not")
    if k != -(-(stored_length + 32) // geometry.P):
        raise Unsupported(f"block {block}: the stored length {stored_length} does not fit k = {k}")
    if raw_length > geometry.C or (codec == 0 and raw_length != stored_length):
        raise Unsupported(f"block {block}: illegal raw length {raw_length}")
    stored = plain[16 : 16 + stored_length]
    for _ in range(2):  # once more, if memory erred
        raw = stored if codec == 0 else decompress(stored, raw_length, block)
        if zlib.crc32(raw) == crc:
            return raw
    raise Damaged(f"block {block}: the CRC-32 of an authentic block fails", [block])


def decompress(stored: bytes, raw_length: int, block: int) -> bytes:
    """Exactly `raw_length` bytes of one Zstandard frame, or `Unsupported`."""
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 24).stream_reader(io.BytesIO(stored))
        raw = b""
        while len(raw) <= raw_length:
            piece = reader.read(raw_length + 1 - len(raw))
            if not piece:
                break
            raw += piece
    except zstandard.ZstdError as e:
        raise Unsupported(f"block {block}: {e}") from e
    if len(raw) != raw_length:
        raise Unsupported(f"block {block}: the frame does not give {raw_length} bytes")
    return raw
