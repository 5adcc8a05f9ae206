"""Backups that django-dbs 0.1.0 and 0.7.0 wrote, restored into the project they were made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
