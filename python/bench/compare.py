"""Backup, validate and restore of one project, ours beside django-dbs 0.7.0, in one run.

    python compare.py PROJECT WORK OURS-PYTHON THEIRS-PYTHON [ROUNDS]

`run` makes the environments and calls this. PROJECT is the corpus's project (manage.py,
populate.py). Each step is a process of its own; what is counted is its CPU time (user and system,
Python's start included) and its peak memory. Medians of the rounds. Then ours alone with ten times
the rows, with ten times the files, and with many small ones. The tables go into the README.
"""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
STEPS = ["backup, verified", "validate", "validate, decrypting", "restore, empty database",
         "restore, merge"]
MORE_ROWS = """
from django.db import connection
with connection.cursor() as c:
    for i in range(9):
        c.execute("INSERT INTO shop_orderline (product_id, qty, unit_price, note, at) SELECT "
                  "product_id, qty, unit_price, note, at FROM shop_orderline WHERE id <= 44000")
"""


class Site:
    """A copy of the project with its own data and one of the two packages."""

    def __init__(self, project: str, data: Path, python: str) -> None:
        self.project = project
        self.data = data
        self.python = python
        self.backup = str(data / "b.dbs")
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            "DJ_DATA": str(data),
            "DBS_PASSPHRASE": "benchmark",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        self.run("manage.py", "migrate", "-v0")
        self.run("populate.py", "perf")

    def run(self, *arguments: str) -> tuple[float, float]:
        """CPU seconds and peak MB of one command."""
        log = self.data / "log"
        pid = os.fork()
        if pid == 0:
            os.chdir(self.project)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.execve(self.python, [self.python, *arguments], self.environment)
        _, status, usage = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            sys.exit(f"{' '.join(arguments)}: exit {code}\n{log.read_text()[-2000:]}")
        return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def empty(self) -> None:
        """An empty database and no files."""
        (self.data / "db.sqlite3").unlink()
        for folder in ("media", "ext", "root"):
            shutil.rmtree(self.data / folder)
        self.run("manage.py", "migrate", "-v0")

    def rows(self) -> int:
        import sqlite3

        database = sqlite3.connect(self.data / "db.sqlite3")
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        left_out = ("sqlite_", "django_", "auth_permission", "dbs_")
        return sum(
            database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in tables
            if not name.startswith(left_out)
        )

    def files(self) -> tuple[int, int]:
        sizes = [
            path.stat().st_size
            for folder in ("media", "ext", "root")
            for path in (self.data / folder).rglob("*")
            if path.is_file()
        ]
        return len(sizes), sum(sizes)

    def shown(self) -> str:
        number, size = self.files()
        return f"{self.rows():,} rows on SQLite, {number:,} files of {size / 1e6:,.0f} MB"


def compare(project: str, work: Path, pythons: dict[str, str], rounds: int) -> list[str]:
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    sizes = {}
    shown, rows = "", 0
    for _ in range(rounds):
        for name, python in pythons.items():
            site = Site(project, work / name, python)
            shown, rows = site.shown(), site.rows()

            def step(label: str, *arguments: str) -> None:
                found.setdefault((label, name), []).append(site.run("manage.py", *arguments))

            step(STEPS[0], "dbs_backup", site.backup)
            sizes[name] = os.path.getsize(site.backup)
            step(STEPS[1], "dbs_validate", site.backup)
            step(STEPS[2], "dbs_validate", site.backup, "--passphrase", "benchmark")
            site.empty()
            step(STEPS[3], "dbs_restore", site.backup)
            if site.shown() != shown:
                sys.exit(f"{name} restored {site.shown()} of {shown}")
            step(STEPS[4], "dbs_restore", site.backup)
            shutil.rmtree(site.data)
    lines = [
        f"One project ({shown}), django-dbs 0.7.0 and this package in one run"
        f" ({'medians of ' + str(rounds) + ' rounds' if rounds > 1 else 'one round'}). CPU seconds"
        " of the whole process, Python's",
        "start included, so that other work on the machine does not decide. Peak memory has "
        "Argon2's 64 MiB in it.",
        "",
        "| step | 0.7.0 CPU s | ours CPU s | ratio | 0.7.0 peak MB | ours peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for label in STEPS:
        a, b = (
            [statistics.median(values) for values in zip(*found[label, name])]
            for name in ("0.7.0", "ours")
        )
        lines.append(
            f"| {label} | {a[0]:.1f} | {b[0]:.1f} | {a[0] / b[0]:.1f} | {a[1]:.0f} | {b[1]:.0f} |"
        )
    a, b = (
        rows / statistics.median(cpu for cpu, _ in found[STEPS[3], name])
        for name in ("0.7.0", "ours")
    )
    return [
        *lines, "",
        f"The restore into an empty database, files and Python's start included, is {b:,.0f} rows "
        f"per CPU second; theirs is {a:,.0f}.",
        f"The backup has {sizes['ours'] / 1e6:.1f} MB, theirs {sizes['0.7.0'] / 1e6:.1f} MB: both "
        "hold everything twice.",
    ]


def scale(project: str, work: Path, python: str) -> list[str]:
    lines = [
        "Memory does not grow with the project:", "",
        "| project | backup peak MB | restore peak MB | restore --flush peak MB |",
        "|---|---|---|---|",
    ]
    for change in ("none", "rows", "files", "small files"):
        site = Site(project, work / "scale", python)
        if change == "rows":
            site.run("manage.py", "shell", "-c", MORE_ROWS)
        elif change == "files":
            for i in range(9):
                shutil.copytree(site.data / "media/manuals", site.data / f"root/more{i}")
        elif change == "small files":
            for i in range(20_000):
                path = site.data / f"root/many/{i // 1000}/{i}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"content {i}")
        shown = site.shown()
        backup = site.run("manage.py", "dbs_backup", site.backup)[1]
        site.empty()
        restore = site.run("manage.py", "dbs_restore", site.backup)[1]
        if site.shown() != shown:
            sys.exit(f"restored {site.shown()} of {shown}")
        flush = site.run("manage.py", "dbs_restore", site.backup, "--flush", "--no-input")[1]
        lines.append(f"| {shown} | {backup:.0f} | {restore:.0f} | {flush:.0f} |")
        shutil.rmtree(site.data)
    return lines


def machine(python: str) -> str:
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )
    code = "import django, sys; print('Python', sys.version.split()[0] + ', Django', django.__version__)"
    versions = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return (
        f"Measured on {datetime.date.today():%Y-%m-%d} with `bash python/bench/run`: {model}, "
        f"{os.cpu_count()} cores, {platform.system()}, {versions.stdout.strip()}; load average "
        f"{os.getloadavg()[2]:.0f} at its end."
    )


def main() -> None:
    project, work, ours, theirs = sys.argv[1:5]
    project = os.path.abspath(project)
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    pythons = {"0.7.0": os.path.abspath(theirs), "ours": os.path.abspath(ours)}
    data = Path(work).resolve()
    table = compare(project, data, pythons, rounds)
    lines = [machine(ours), *table, ""]
    print("\n".join(lines), flush=True)
    more = scale(project, data, pythons["ours"])
    print("\n".join(more))
    text = README.read_text()
    head, rest = text.split("## Measured\n", 1)
    _, tail = rest.split("\n## ", 1)
    README.write_text(head + "## Measured\n\n" + "\n".join([*lines, *more]) + "\n\n## " + tail)


if __name__ == "__main__":
    main()
