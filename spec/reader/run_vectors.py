"""Puts every file of testvectors/v3 to the second reader. Ends with 0 if all of them pass.

    python run_vectors.py [-v] [NAME ...]        NAME is a part of a path, such as heal/rot or known
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pool
from pathlib import Path

import known
from dbs_reader import healer, reader
from dbs_reader.archive import Archive
from dbs_reader.cli import examine, first_code
from dbs_reader.errors import (
    Authentication, Damaged, DbsError, Limit, Misuse, NotDbs, Unsupported, WrongPassphrase,
)
from dbs_reader.sector import tag

ROOT = Path(__file__).resolve().parents[2] / "testvectors" / "v3"
COUNT = {"open": 63, "heal": 155, "refuse": 189}
CLASSES = {
    NotDbs: "not-dbs", Unsupported: "unsupported", Damaged: "damaged", Limit: "limit", Misuse: "misuse",
    WrongPassphrase: "wrong-passphrase", Authentication: "authentication",
}
STATUS = {0: "clean", 1: "recoverable", 3: "unrecoverable"}


class Vector:
    """A `.vec` file: its header, and the container after its damage."""

    def __init__(self, path: Path) -> None:
        head, _, body = path.read_bytes().partition(b"\n\n")
        self.lines = [tuple(line.split(": ", 1)) for line in head.decode().split("\n")]
        self.name = str(path.relative_to(ROOT))
        if "base" in self:
            self.original = Vector(ROOT / self["base"]).data
            self.data = self.damaged("damage")
        else:
            self.original = self.data = body

    def __contains__(self, key: str) -> bool:
        return any(k == key for k, _ in self.lines)

    def __getitem__(self, key: str) -> str:
        return next(v for k, v in self.lines if k == key)

    def damaged(self, key: str) -> bytes:
        data = bytearray(self.original)
        for k, step in self.lines:
            if k == key:
                damage(data, *step.split(" "))
        return bytes(data)

    def inputs(self) -> list[bytes]:
        replicas = [self.data]
        number = 2
        while f"file-{number}-blake2b-256" in self:
            replicas.append(self.damaged(f"damage-{number}"))
            number += 1
        return replicas


def damage(data: bytearray, step: str, *args: str) -> None:
    """One step of damage, as testvectors/README.md describes them."""
    if step == "include":
        data[int(args[0]) : int(args[0])] = Vector(ROOT / args[1]).data
        return
    if step in ("write", "insert"):
        at, new = int(args[0]), bytes.fromhex(args[1])
        data[at : at + (len(new) if step == "write" else 0)] = new
        return
    if step == "fill":
        a, b = int(args[0]), int(args[1])
        data[a:b] = bytes.fromhex(args[2]) * (b - a)
        return
    n = [int(x) for x in args]
    if step == "zero":
        data[n[0] : n[1]] = bytes(n[1] - n[0])
    elif step == "flip":
        for bit in n:
            data[bit >> 3] ^= 1 << (bit & 7)
    elif step == "delete":
        del data[n[0] : n[0] + n[1]]
    elif step == "truncate":
        del data[n[0] :]
    elif step == "swap":
        a, b, size = n
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    elif step == "copy":
        data[n[1] : n[1] + n[2]] = data[n[0] : n[0] + n[2]]
    elif step == "repeat":
        data[n[1] : n[1]] = data[n[0] : n[0] + n[2]]
    elif step == "tag":
        end = n[0] + n[1] - 16
        data[end : end + 16] = tag(bytes(data[n[0] : end]))
    else:
        raise ValueError(f"unknown step {step}")


def blake(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def outcome(task: Callable[[], str]) -> str:
    try:
        return task()
    except DbsError as e:
        return CLASSES[type(e)]


def opened(vector: Vector, salvage: bool = False) -> reader.Opened:
    archive = Archive(vector.inputs())
    reader.unlock_archive(archive, vector["passphrase"].encode())
    archive.find_shape()
    result = reader.open_archive(archive, salvage)
    reader.distrust_table(result)
    return result


def validated(vector: Vector, secret: bytes | None) -> str:
    report, errors = examine(Archive(vector.inputs()), secret)
    code = first_code(report, errors)
    if code in STATUS:
        return STATUS[code]
    return next(CLASSES[type(e)] for e in errors if e.exit_code == code)


def checks(vector: Vector) -> Iterator[tuple[str, str, str]]:
    """(what, expected, got) for everything that the header promises."""
    for i, data in enumerate(vector.inputs()):
        key = f"file-{i + 1}-blake2b-256" if i else "file-blake2b-256"
        yield key, vector[key], blake(data)
    secret = vector["passphrase"].encode() if "passphrase" in vector else None
    result: dict[str, object] = {}

    def restore() -> str:
        result["opened"] = opened(vector)
        result["payload"] = b"".join(reader.payload(result["opened"]))
        return "success"

    got = outcome(restore)
    if "expect" in vector:
        yield "expect", vector["expect"], got
    payload = result.get("payload")
    if isinstance(payload, bytes):
        if "payload-length" in vector:
            yield "payload-length", vector["payload-length"], str(len(payload))
            yield "payload", vector["payload-blake2b-256"], blake(payload)
        yield from facts(vector, result["opened"])
    if "salvage-blake2b-256" in vector:
        yield "salvage", vector["salvage-blake2b-256"], outcome(
            lambda: blake(b"".join(reader.salvage(opened(vector, salvage=True))[0]))
        )
    for key, given in (("validate", None), ("validate-unlocked", secret)):
        if key in vector:
            yield key, vector[key], outcome(lambda: validated(vector, given))
    if "failed-blocks" in vector:
        archive = Archive(vector.inputs())
        archive.find_shape()
        yield "failed-blocks", vector["failed-blocks"], " ".join(map(str, healer.verify(archive).lost))

    def repair() -> str:
        archive = Archive(vector.inputs())
        archive.find_shape()
        result["repaired"] = healer.repaired(archive)
        return "base"

    if "repair" in vector:
        yield "repair", vector["repair"], outcome(repair)
        want = vector["repaired-blake2b-256"] if "repaired-blake2b-256" in vector else blake(vector.original)
        if isinstance(result.get("repaired"), bytes) and vector["repair"] == "base":
            yield "repaired", want, blake(result["repaired"])


def facts(vector: Vector, opened: object) -> Iterator[tuple[str, str, str]]:
    assert isinstance(opened, reader.Opened) and opened.manifest is not None
    a, g, m = opened.archive, opened.archive.geometry, opened.manifest
    N = g.blocks(m.D + m.I + 1)
    have = {
        "geometry": f"S={g.S} K={g.K} M_A={g.M_A} M_B={g.M_B} copy-B={g.copy_b}",
        "lag": str(a.page.lag),
        "generation": str(a.page.generation),
        "key-slots": str(len(a.page.key_slots)),
        "blocks": f"N={N} D={m.D} I={m.I} T={N - m.D - m.I - 1}",
        "media-type": m.media_type,
        "entries": outcome(lambda: str(len(reader.entries(opened)))),
    }
    for key, value in have.items():
        if key in vector:
            yield key, vector[key], value


def run(path: Path) -> tuple[str, float, list[str]]:
    start = time.monotonic()
    failures = []
    try:
        vector = Vector(path)
        for what, want, got in checks(vector):
            if want != got:
                failures.append(f"{what}: expected {want}, got {got}")
    except Exception as e:  # a crash is a failure of this vector, and the others go on
        failures.append(f"{type(e).__name__}: {e}")
    return str(path.relative_to(ROOT)), time.monotonic() - start, failures


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    paths = sorted(ROOT.glob("*/*.vec"))
    for folder, count in COUNT.items():
        found = sum(p.parent.name == folder for p in paths)
        assert found == count, f"{folder}: {found} vectors, {count} are expected"
    assert len(paths) == sum(COUNT.values())
    if options.names:
        paths = [p for p in paths if any(name in str(p) for name in options.names)]
    failed = 0
    if not options.names or any(name in "known/" for name in options.names):
        problems = known.run()
        print(*problems, sep="\n", end="\n" if problems else "")
        print(f"{sum(known.COUNT.values())} known answers in {len(known.COUNT)} files, {len(problems)} wrong")
        failed += bool(problems)
    wrong = 0
    with Pool(min(2, os.cpu_count() or 1)) as pool:
        for name, seconds, failures in pool.imap(run, paths):
            if failures or options.verbose:
                print(f"{'FAIL' if failures else 'ok  '} {name} ({seconds:.1f} s)", *failures, sep="\n     ")
            wrong += bool(failures)
    print(f"{len(paths) - wrong} of {len(paths)} vectors pass")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
