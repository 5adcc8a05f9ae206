"""Section 28: the file in hex, made here from the text and read again."""

import hashlib
import struct
import zlib

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dbs_reader.archive import Archive
from dbs_reader.healer import canonical, verify
from dbs_reader.heal import Healed
from dbs_reader.keys import unlock_page
from dbs_reader.page import parse_page
from dbs_reader.reader import open_archive, payload, unlock_archive
from dbs_reader.sector import END, Frame, build, h256
from dbs_reader.table import block_hash, build_table, root

ID = bytes(range(16))
PASSPHRASE = b"correct horse battery staple"
RECORD = (
    bytes.fromhex("00000903020201010000000000000000" + "01" + "00" * 15)
    + bytes.fromhex("9b764cb868e4496b868048da0c9ffbf0a8cbbbe9c5c565c2112a896a182a9dfa")
    + bytes.fromhex("010101004000000040414243444546474849")
    + bytes.fromhex("4a4b4c4d4e4f505152535455565758595a5b")
    + bytes.fromhex("e702bb072ac695266cc957d2154ecb48f2e9b5a4ac288599ff8012095e62da42")
    + bytes.fromhex("d703cb46756d8f3aabc9dfe7bbc5a5ee")
).ljust(432, b"\0")
MANIFEST = bytes.fromhex(
    "a801" "7818" "6170706c69636174696f6e2f6f637465742d73747265616d" "026b" "6578616d706c6520312e30"
    "031a6553f100" "041903e8" "0501" "0600" "075820"
    "881568d5501154e071dfd0ca44979b1ec158164de6dcbf8ff4a6301fdad1846d" "0800"
)
DATA = bytes(i % 251 for i in range(1000))


def seal(key: bytes, raw: bytes, block: int, kind: int, k: int) -> list[bytes]:
    plain = struct.pack("<IIII", 0, len(raw), len(raw), zlib.crc32(raw)) + raw
    nonce = struct.pack("<QB3x", block, kind)
    sealed = AESGCM(key).encrypt(
        nonce, plain.ljust(464 * k - 16, b"\0"), ID + struct.pack("<QBB", block, kind, k)
    )
    return [sealed[i : i + 464] for i in range(0, len(sealed), 464)]


def make() -> bytes:
    record = RECORD + h256("dbs3 page", ID + RECORD)
    page = parse_page(record, ID, 512)
    assert page is not None and record[432:].hex().startswith("89c4e044")
    keys = unlock_page(page, PASSPHRASE)
    blocks = [seal(keys.block_key, DATA, 0, 0, 3), seal(keys.block_key, MANIFEST, 1, 1, 1)]
    entries = [b"\3" + block_hash(0, 3, 0, ID, blocks[0]), b"\1" + block_hash(1, 1, 1, ID, blocks[1])]
    assert root(ID, entries[:1]).hex().startswith("881568d5")
    content = build_table(1, 0, 0, entries, ID, page.geometry)
    assert content[-32:].hex() == "5e06e57265b3c1826d8150ac287994e0a98e510f217a78ff00e7cddea1e380c3"
    # Any sector will do to make an Archive; its blocks are then put in by hand.
    archive = Archive([build(Frame(END, 0, 0, 3, ID), page.payload())])
    archive.take_shape(1, 0)
    archive.entries = dict(enumerate(entries))
    archive.cache = {b: Healed(rows, 2) for b, rows in enumerate([*blocks, [content]])}
    return b"".join(sector for _, sector in canonical(archive))


def test_the_file_of_section_28() -> None:
    data = make()
    assert len(data) == 14848
    assert hashlib.blake2b(data, digest_size=32).hexdigest() == (
        "805bbcd934e095d46366b36a1672a9d07a642466d11301d314005905400916a4"
    )
    archive = Archive([data])
    unlock_archive(archive, PASSPHRASE)
    archive.find_shape()
    assert verify(archive).status == "clean"
    assert b"".join(payload(open_archive(archive))) == DATA
