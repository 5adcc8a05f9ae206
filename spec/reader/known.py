"""Puts the known answers of testvectors/v3/known to the second reader: one function for each file.

Each takes a case, and yields (what, expected, got). The numbers of cases stand in COUNT.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dbs_reader import block as sealed
from dbs_reader import keys, layout, page, sector, table
from dbs_reader.code import correct, fill, interpolation
from dbs_reader.page import Geometry, KeySlot

FOLDER = Path(__file__).resolve().parents[2] / "testvectors" / "v3" / "known"
COUNT = {
    "argon2id": 6, "block_hash": 6, "counts": 56, "derived_keys": 3, "erasures": 128, "errors": 274,
    "geometry": 28, "header_page": 5, "key_slot": 6, "matrix": 674, "order": 31, "parity": 6,
    "sealed_block": 6, "sector": 7, "table": 4,
}
Case = dict[str, object]
Checks = Iterator[tuple[str, object, object]]


def unhex(case: Case, key: str) -> bytes:
    return bytes.fromhex(case[key])


def shape(case: Case, S: int) -> Geometry:
    return Geometry(S, case["k"], case["m_a"], case["m_b"], case["copy_b"])


def argon2id(case: Case) -> Checks:
    passphrase, salt = unhex(case, "passphrase"), unhex(case, "salt")
    kek = hash_secret_raw(passphrase, salt, case["t"], case["m"], case["p"], 32, Type.ID, 0x13)
    yield "kek", case["kek"], kek.hex()
    # What wraps the data key is not in this file; that the reader derives the same KEK, key_slot says.


def key_slot(case: Case) -> Checks:
    """The slot opens with the passphrase of the same KEK in argon2id.json, and is what AES-GCM makes of the data key."""
    raw, archive = unhex(case, "key_slot"), unhex(case, "archive_id")
    origin = next(a for a in load("argon2id") if a["kek"] == case["kek"])
    opened = keys.open_key_slot(KeySlot(raw), archive, unhex(origin, "passphrase"))
    yield "data_key", case["data_key"], opened and opened.hex()
    yield "another passphrase", None, keys.open_key_slot(KeySlot(raw), archive, b"another")
    slot = KeySlot(raw)
    yield "costs", (origin["t"], origin["m"], origin["p"]), (slot.t, slot.m, slot.p)
    yield "nonce", case["nonce"], raw[24:36].hex()
    yield "aad", case["aad"], (b"dbs3 key slot" + archive + raw[:24]).hex()
    wrapped = AESGCM(unhex(case, "kek")).encrypt(raw[24:36], unhex(case, "data_key"), unhex(case, "aad"))
    yield "wrapped", raw[36:].hex(), wrapped.hex()


def derived_keys(case: Case) -> Checks:
    for name, person in (("block_key", "dbs3 block key"), ("page_key", "dbs3 page key")):
        yield name, case[name], sector.k256(unhex(case, "data_key"), person, b"").hex()


def header_page(case: Case) -> Checks:
    archive, S = unhex(case, "archive_id"), case["sector_size"]
    record = unhex(case, "record")
    got = page.parse_page(record.ljust(S - 48, b"\0"), archive, S)
    yield "parsed", True, got is not None
    assert got is not None
    yield "supported", None, got.unsupported
    yield "geometry", shape(case, S), got.geometry
    yield "lag, generation", (case["lag"], case["generation"]), (got.lag, got.generation)
    yield "key slots", case["key_slots"], [slot.raw.hex() for slot in got.key_slots]
    yield "commitment", case["commitment"], record[32:64].hex()
    found = keys.unlock_page(got, b"passphrase")
    page_key = sector.k256(unhex(case, "data_key"), "dbs3 page key", b"")
    yield "page key", page_key.hex(), found.page_key.hex()
    for i in range(len(record)):
        broken = record[:i] + bytes([record[i] ^ 1]) + record[i + 1 :]
        yield f"byte {i} changed", None, page.parse_page(broken.ljust(S - 48, b"\0"), archive, S)


def sealed_block(case: Case) -> Checks:
    geometry = Geometry(512, 3, 2, 2, 1)
    number, kind, k = case["block"], case["kind"], case["k"]
    archive, plain = unhex(case, "archive_id"), unhex(case, "plaintext")
    block_key = sector.k256(unhex(case, "data_key"), "dbs3 block key", b"")
    nonce, aad = unhex(case, "nonce"), unhex(case, "aad")
    yield "sealed", case["sealed"], AESGCM(block_key).encrypt(nonce, plain, aad).hex()
    got = sealed.unseal(unhex(case, "sealed"), keys.Keys(block_key, b""), archive, number, kind, k)
    yield "plaintext", case["plaintext"], got and got.hex()
    stored, raw = struct.unpack_from("<II", plain, 4)
    yield "raw bytes", raw, len(sealed.raw_bytes(plain, geometry, k, number))
    yield "sectors", k * geometry.P, len(unhex(case, "sealed"))
    if plain[0] == 0:
        yield "raw", plain[16 : 16 + stored], sealed.raw_bytes(plain, geometry, k, number)


def sector_(case: Case) -> Checks:
    raw = unhex(case, "sector")
    yield "tag", case["tag"], sector.tag(raw[:-16]).hex()
    yield "holds", True, sector.tag_holds(raw, 0, len(raw))
    yield "built", case["sector"], sector.build(sector.Frame.parse(raw), raw[32:-16]).hex()


def block_hash(case: Case) -> Checks:
    tags = unhex(case, "tags")
    yield "k", case["k"], len(tags) // 16
    yield "hash", case["block_hash"], sector.h256("dbs3 block", tags).hex()


def table_(case: Case) -> Checks:
    geometry = Geometry(512, 1, 2, 2, 1)
    archive, raw, D, I = unhex(case, "archive_id"), unhex(case, "entries"), case["d"], case["i"]
    entries = [raw[o : o + 33] for o in range(0, len(raw), 33)]
    X = D + I + 1
    yield "entries", X, len(entries)
    blocks = [bytes.fromhex(b) for b in case["table_blocks"]]
    yield "T", geometry.blocks(X) - X, len(blocks)
    read: list[bytes] = []
    for t, content in enumerate(blocks):
        own = entries[t * geometry.E : (t + 1) * geometry.E]
        yield f"table block {t}", content.hex(), table.build_table(D, I, t, own, archive, geometry).hex()
        parsed = table.parse_table(content, archive, X + t, geometry)
        yield f"table block {t} is valid", True, parsed is not None
        read += parsed.entries if parsed else []
    yield "entries read", entries, read
    yield "root", case["root"], table.root(archive, entries[: D + I]).hex()


def geometry(case: Case) -> Checks:
    g = shape(case, case["sector_size"])
    sizes = (g.P, g.C, g.E, page.record_size(g.S))
    yield "sizes", tuple(case[key] for key in "pcer"), sizes
    yield "slots of A", case["slots_a"], g.slots("A", case["block_k"])
    yield "slots of B", case["slots_b"], g.slots("B", case["block_k"])


def order(case: Case) -> Checks:
    places = layout.Layout(shape(case, 512), case["lag"], case["block_ks"])
    yield "starts", case["starts"], [[copy, i, at] for (copy, i), at in places.start.items()]
    yield "end sector", case["end_sector"], places.end
    walked = [[copy, i] for copy, i, _ in case["starts"]]
    backwards = layout.order_backwards(len(places.ks), case["lag"], case["copy_b"])
    yield "backwards", walked[::-1], [list(step) for step in backwards]


def counts(case: Case) -> Checks:
    known = (Geometry(512, 1, 2, 2, 1), Geometry(512, 3, 2, 2, 1), Geometry(4096, 223, 2, 2, 1), Geometry(512, 119, 2, 2, 1))
    g = next(g for g in known if g.E == case["e"])
    want = None if case["x"] is None else (case["x"], case["t"])
    yield "shape", want, g.shape(case["n"])


def matrix(case: Case) -> Checks:
    K, slot = case["k"], case["slot"]
    yield f"row {slot} of K = {K}", unhex(case, "row"), bytes(interpolation(K, K, tuple(range(1, K + 1)), slot))


def parity(case: Case) -> Checks:
    data = unhex(case, "data")
    rows = {c: bytes([d]) for c, d in enumerate(data, 1)}
    made = fill(case["k"], len(data), rows, case["slots"])
    yield "parity", case["parity"], b"".join(made[s] for s in case["slots"]).hex()


def erasures(case: Case) -> Checks:
    rows = {s: bytes([b]) for s, b in zip(case["slots"], unhex(case, "bytes"), strict=True)}
    got = correct(3, 3, rows, {}, set())
    yield "corrected", case["data"], got and b"".join(got[s] for s in (1, 2, 3)).hex()
    if len(rows) >= 3:
        filled = fill(3, 3, rows, [1, 2, 3])
        yield "filled", case["data"], b"".join(filled[s] for s in (1, 2, 3)).hex()


def errors(case: Case) -> Checks:
    received = dict(enumerate((bytes([b]) for b in unhex(case, "received")), 1))
    lost, word = case["erased"], unhex(case, "word")
    missing = correct(3, 3, {s: r for s, r in received.items() if s not in lost}, {}, set())
    masked = correct(3, 3, received, {s: b"\1" for s in lost}, set())
    for how, got in (("missing", missing), ("masked", masked)):
        again = fill(3, 3, got, list(range(1, 8))) if got else {}
        yield how, word, b"".join(again.values())


CHECKS: dict[str, Callable[[Case], Checks]] = {
    "argon2id": argon2id, "block_hash": block_hash, "counts": counts, "derived_keys": derived_keys,
    "erasures": erasures, "errors": errors, "geometry": geometry, "header_page": header_page,
    "key_slot": key_slot, "matrix": matrix, "order": order, "parity": parity,
    "sealed_block": sealed_block, "sector": sector_, "table": table_,
}


def load(name: str) -> list[Case]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["cases"]


def run() -> list[str]:
    """What is wrong, a line for each; asserts that nothing is left out."""
    names = sorted(path.stem for path in FOLDER.iterdir())
    assert names == sorted(COUNT) == sorted(CHECKS), f"files that are not checked: {names}"
    problems = []
    for name in names:
        cases = load(name)
        assert len(cases) == COUNT[name], f"{name}: {len(cases)} cases, {COUNT[name]} are expected"
        for number, case in enumerate(cases):
            checked = 0
            for what, want, got in CHECKS[name](case):
                checked += 1
                if want != got:
                    problems.append(f"known/{name}.json, case {number}: {what}: expected {want}, got {got}")
            assert checked
    return problems
