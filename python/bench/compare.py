"""Backup, validate and restore of one project, ours beside django-dbs 0.7.0, in one run.

    python compare.py PROJECT WORK OURS-PYTHON THEIRS-PYTHON [ROUNDS]

PROJECT is the corpus's project (manage.py, populate.py), the two Pythons are those of environments
with this package and with django-dbs 0.7.0. Each step is a process of its own; what is counted is
its CPU time (user and system, children included), wall time and peak memory. Medians.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time


def measure(arguments, environment, cwd):
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.chdir(cwd)
        log = os.open(os.path.join(environment["DJ_DATA"], "log"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.execve(arguments[0], arguments, environment)
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        with open(os.path.join(environment["DJ_DATA"], "log")) as file:
            sys.exit(f"{' '.join(arguments)}: exit {code}\n{file.read()[-2000:]}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1024


def main():
    project, work, ours, theirs = map(os.path.abspath, sys.argv[1:5])
    rounds = int(sys.argv[5]) if len(sys.argv) > 5 else 3
    results = {}
    for round_number in range(rounds):
        for name, python in (("ours", ours), ("0.7.0", theirs)):
            data = os.path.join(work, name)
            environment = {
                **os.environ,
                "DJ_DATA": data,
                "DBS_PASSPHRASE": "benchmark",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": os.environ.get("BENCH_PATH", "") if name == "ours" else "",
            }

            def run(step, *arguments, environment=environment, python=python, name=name):
                result = measure([python, *arguments], environment, project)
                if step:
                    results.setdefault((step, name), []).append(result)

            shutil.rmtree(data, ignore_errors=True)
            os.makedirs(data)
            run(None, "manage.py", "migrate", "-v0")
            run(None, "populate.py", "perf")
            backup = os.path.join(data, "b.dbs")
            run("backup", "manage.py", "dbs_backup", backup)
            results.setdefault(("size", name), []).append((os.path.getsize(backup), 0, 0))
            run("validate", "manage.py", "dbs_validate", backup)
            run("validate, decrypting", "manage.py", "dbs_validate", backup, "--passphrase", "benchmark")
            os.rename(os.path.join(data, "db.sqlite3"), os.path.join(data, "old.sqlite3"))
            for folder in ("media", "ext", "root"):
                shutil.rmtree(os.path.join(data, folder))
            run(None, "manage.py", "migrate", "-v0")
            run("restore, empty database", "manage.py", "dbs_restore", backup)
            run("restore, merge", "manage.py", "dbs_restore", backup)
            shutil.rmtree(data)
    table = {}
    for (step, name), values in results.items():
        table.setdefault(step, {})[name] = [round(statistics.median(v), 2) for v in zip(*values)]
    print(json.dumps(table, indent=1))
    print("| step | 0.7.0 CPU s | ours CPU s | ratio | 0.7.0 peak MB | ours peak MB |")
    print("|---|---|---|---|---|---|")
    for step, by in table.items():
        if step == "size":
            continue
        a, b = by["0.7.0"], by["ours"]
        print(f"| {step} | {a[0]:.1f} | {b[0]:.1f} | {a[0] / b[0]:.1f} | {a[2]:.0f} | {b[2]:.0f} |")


main()
