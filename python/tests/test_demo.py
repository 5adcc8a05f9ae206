"""The demonstration of the README does what it says."""

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[1] / "demo/demo.py"


def test_demo(tmp_path):
    done = subprocess.run(
        [sys.executable, DEMO, tmp_path / "project"],
        capture_output=True, text=True, timeout=300,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("DJANGO")},
             "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bit for bit\n" in done.stdout
    assert "DIFFERENT" not in done.stdout
    assert done.stdout.endswith("All came back.\n")
