"""Backups that django-dbs 0.1.0 and 0.7.0 wrote, restored into the project they were made from."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import dbs
from tests.zoo.models import Tag

HERE = Path(__file__).resolve().parent


def corpus() -> Path | None:
    candidates = [os.environ.get("DBS_CORPUS", ""), HERE.parents[2] / "shared/corpus",
                  "/work/shared/corpus"]
    for candidate in candidates:
        if candidate and Path(candidate, "index.json").is_file():
            return Path(candidate)
    return None


CORPUS = corpus()
INDEX = json.loads((CORPUS / "index.json").read_text()) if CORPUS else {"files": []}


@pytest.mark.skipif(CORPUS is None, reason="the corpus of old backups is not here: DBS_CORPUS")
@pytest.mark.parametrize("entry", INDEX["files"], ids=lambda entry: entry["file"])
def test_old_backups(entry, tmp_path):
    backup = os.path.join(os.environ.get("LEGACY_DIR", CORPUS), entry["file"])
    done = subprocess.run(
        [sys.executable, HERE / "legacy_project.py", CORPUS / "project", backup,
         entry["passphrase"]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["healed"] is False
    assert result["rows"] == entry["rows"] == result["listed"]
    assert sorted(map(str, result["files"])) == sorted(map(str, entry["files"]))
    assert result["records"] == entry["records_canonical_sha256"]


def first(rows):
    body = json.dumps({"order": [r["model"] for r in rows], "records": rows, "files": []}).encode()
    return b"DBSPAY01" + struct.pack(">I", len(body)) + body


def second(rows):
    frames = [
        (b"H", {"order": [r["model"] for r in rows], "migrations": {"dbs": ["0005_newest"]}}),
        (b"R", rows),
        (b"T", {"stats": {"models": [{"model": r["model"], "count": 1} for r in rows]}}),
    ]
    out = b"DBSPAY02"
    for kind, document in frames:
        body = json.dumps(document).encode()
        out += kind + struct.pack(">I", len(body)) + body
    return out


@pytest.mark.django_db(transaction=True, databases=["default"])
@pytest.mark.parametrize("payload", [first, second])
def test_rows_that_django_dbs_kept_for_itself(payload):
    """Without registrations it backed up its own tables too, which are nobody's any more."""
    rows = [
        {"model": "dbs.SecurityPolicy", "pk": 1, "fields": {"level": "high"}},
        {"model": "zoo.Tag", "pk": 1, "fields": {"name": "of the project"}},
    ]
    buffer = io.BytesIO()
    with dbs.Writer(buffer, "x", kdf=(1, 64, 1)) as writer:
        writer.write(payload(rows))
    report = dbs.restore_backup(buffer, "x")
    assert Tag.objects.get().name == "of the project"
    assert report.notes == [
        "Rows of dbs.securitypolicy, which django-dbs kept for itself, were left out."
    ]
    rows[0]["model"] = "other.Model"
    buffer = io.BytesIO()
    with dbs.Writer(buffer, "x", kdf=(1, 64, 1)) as writer:
        writer.write(payload(rows))
    with pytest.raises(dbs.RestoreError, match="other.model"):
        dbs.restore_backup(buffer, "x")
