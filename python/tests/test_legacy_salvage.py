"""Old backups with damage beyond repair: whole rows and files come back, and nothing else does."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import subprocess
import sys

import pytest

import dbs
from dbs import legacy_salvage, restore
from dbs.events import End, File, Meta, Rows
from dbs.exceptions import RestoreError
from tests.test_legacy import CORPUS, HERE, INDEX

pytestmark = pytest.mark.skipif(
    CORPUS is None, reason="the corpus of old backups is not here: DBS_CORPUS"
)
ENTRIES = {entry["file"]: entry for entry in INDEX["files"]}
FILES = [
    "v1-010-medium-nocompress.dbs",
    "v1-010-medium-cheapkdf.dbs",
    "v2-070-medium-nocompress.dbs",
    "v2-070-medium-cheapkdf.dbs",
    "v1-010-small-bs1000-nsym7.dbs",
    "v2-070-small-bs512-il5.dbs",
]


def places(blob: bytes) -> list[list[tuple[int, int]]]:
    """Where the two copies of each block are."""
    if struct.unpack(">H", blob[8:10]) == (1,):
        (length,) = struct.unpack(">Q", blob[24:32])
        manifest = json.loads(blob[64 : 64 + length])
        found, at = [], 64 + 2 * length
        for size in manifest["blocks"]["enc_lens"]:
            found.append([(at, size), (at + manifest["copy_len"], size)])
            at += size
        return found
    nsym, size, interleave = struct.unpack(">HII", blob[14:24])
    k = 255 - nsym
    slot = size // k * 255 + (size % k + nsym if size % k else 0) + 16
    count = (len(blob) - 504) // (2 * slot)
    found = [[] for _ in range(count)]
    at = 152
    for step in range(count + interleave):
        for block in (step, step - interleave):
            if 0 <= block < count and len(found[block]) == (block != step):
                found[block].append((at, slot))
                at += slot
    return found


def lose(blob: bytes, *blocks: int) -> bytes:
    damaged = bytearray(blob)
    where = places(blob)
    for block in blocks:
        for at, size in where[block]:
            damaged[at : at + size] = os.urandom(size)
    return bytes(damaged)


def picture(events):
    """Rows as JSON, files by name, and how many rows were announced."""
    rows, files, counts = [], {}, None
    for event in events:
        if isinstance(event, Rows):
            rows += [json.dumps(row, sort_keys=True) for row in event.rows]
        elif isinstance(event, File) and event.left_out is None:
            state = hashlib.sha256()
            while piece := event.stream.read(7001):
                state.update(piece)
            files[event.kind, event.shown] = state.hexdigest()
        elif isinstance(event, (Meta, End)):
            counts = event.counts or counts
    return rows, files, counts


def salvaged(blob: bytes, passphrase: str):
    skipped: list[str] = []
    archive = dbs.open(blob)
    left = legacy_salvage.events(archive.unlock(passphrase), archive.version, skipped)
    return *picture(left), skipped


@pytest.fixture(scope="module", params=FILES)
def backup(request):
    entry = ENTRIES[request.param]
    blob = (CORPUS / entry["file"]).read_bytes()
    whole = picture(restore.payload_events(dbs.open(blob).unlock(entry["passphrase"])))
    assert len(whole[0]) == sum(entry["rows"].values())
    return blob, entry["passphrase"], whole


def test_any_one_block(backup):
    """Whichever block is lost: what comes back is right, and it is most of it where it can be."""
    blob, passphrase, (rows, files, counts) = backup
    blocks = len(places(blob))
    assert blocks > 2
    best = 0
    # The first and the last, and some between them.
    for block in sorted({0, 1, blocks // 2, blocks - 2, blocks - 1}):
        damaged = lose(blob, block)
        try:
            left, kept, known, skipped = salvaged(damaged, passphrase)
        except RestoreError as error:
            assert "Too much of the backup" in str(error)
            continue
        assert set(left) <= set(rows) and len(left) == len(set(left))
        assert kept.items() <= files.items()
        # Whatever is missing is named, or the end of the backup says how many rows there were.
        assert len(left) == len(rows) or known == counts or "the end of the" in skipped[-1]
        for name in files.keys() - kept.keys():
            said = (name[1], "list of files", "with their names", "rows and files it had")
            assert any(text in line for line in skipped for text in said), (name, skipped)
        best = max(best, len(left) / len(rows) + len(kept) / len(files))
    assert best > 0.9


def test_many_lost_blocks(backup):
    blob, passphrase, (rows, files, _) = backup
    dice = random.Random(5)
    blocks = range(len(places(blob)))
    for share in (0.3, 1):
        lost = [block for block in blocks if dice.random() < share] or [0]
        try:
            left, kept, *_ = salvaged(lose(blob, *lost), passphrase)
        except RestoreError as error:
            assert "Too much of the backup" in str(error)
            continue
        assert share < 1
        assert set(left) <= set(rows) and kept.items() <= files.items()


def test_what_looks_like_rows_inside_a_value_is_none():
    """A lost block in front of a JSON value that holds rows of its own."""
    inner = json.dumps([{"model": "a.b", "pk": i, "fields": {}} for i in range(3)])
    row = '{"model": "x.y", "pk": %d, "fields": {"long": "' + "z" * 50 + '", "json": %s}}'
    text = "[" + ", ".join(row % (i, inner) for i in range(4)) + "]"
    data = bytearray(text.encode())
    start = text.index("zzz", text.index('"pk": 1, "fields": {"long"'))
    hole = (start, start + 20)
    data[slice(*hole)] = bytes(20)
    left = legacy_salvage._Left(bytes(data), [hole], [])
    assert [r["pk"] for r in left.rows(0, len(data))] == [0, 2, 3]
    assert {r["model"] for r in left.rows(0, len(data))} == {"x.y"}


@pytest.mark.parametrize("name", ["v1-010-medium-nocompress.dbs", "v2-070-medium-nocompress.dbs"])
def test_into_the_database(name, tmp_path):
    """The command, in the project that was backed up."""
    entry = ENTRIES[name]
    blob = (CORPUS / name).read_bytes()
    # A block in the middle of the rows.
    middle = len(places(blob)) - 2 if entry["format_version"] == 2 else 1
    (tmp_path / "b.dbs").write_bytes(lose(blob, middle))
    done = subprocess.run(
        [sys.executable, HERE / "legacy_project.py", CORPUS / "project", tmp_path / "b.dbs",
         entry["passphrase"], "salvage"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["strict"] == 3 and result["code"] == 3
    assert 0 < result["rows"] < sum(entry["rows"].values())
    assert "lost" in result["err"] and "--salvage" in result["strict_err"]
