"""Database servers that a test run starts by itself, and stops again."""

from __future__ import annotations

import atexit
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def unprivileged():
    """Options of `subprocess` that drop root, which PostgreSQL and MariaDB refuse to run as."""
    if os.geteuid() != 0:
        return {}, None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}, user
    return {}, None


def _directory(user) -> str:
    path = tempfile.mkdtemp(prefix="dbs-server-", dir="/tmp")
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def _stop(process, path, sig) -> None:
    process.send_signal(sig)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(path, ignore_errors=True)


def start_postgres() -> dict | None:
    """A fresh PostgreSQL on the loopback; None where its programs are not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [
        p for p in [shutil.which("initdb")] if p
    ]
    if not found:
        return None
    binaries = os.path.dirname(found[-1])
    drop, user = unprivileged()
    path = _directory(user)
    data = os.path.join(path, "data")
    port = free_port()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": path}
    subprocess.run(
        [f"{binaries}/initdb", "-D", data, "-U", "dbs", "--auth=trust", "-E", "UTF8", "-N"],
        check=True, stdout=subprocess.DEVNULL, cwd="/tmp", env=environment, **drop,
    )
    process = subprocess.Popen(
        [f"{binaries}/postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", path,
         "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp", env=environment, **drop,
    )
    atexit.register(_stop, process, path, signal.SIGINT)
    for _ in range(200):
        ready = subprocess.run(
            [f"{binaries}/pg_isready", "-h", "127.0.0.1", "-p", str(port), "-U", "dbs"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        if ready.returncode == 0:
            break
        time.sleep(0.1)
    else:
        print("PostgreSQL did not start", file=sys.stderr)
        return None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "dbs",
        "HOST": "127.0.0.1",
        "PORT": str(port),
    }


def start_mariadb() -> dict | None:
    """A fresh MariaDB on the loopback; None where it, or a driver, is not installed."""
    server = shutil.which("mariadbd") or shutil.which("mysqld")
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    try:
        import MySQLdb  # noqa: F401
    except ImportError:
        return None
    if not server or not install:
        return None
    drop, user = unprivileged()
    path = _directory(user)
    data = os.path.join(path, "data")
    port = free_port()
    done = subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
         "--skip-test-db"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp", **drop,
    )
    if done.returncode:
        return None
    process = subprocess.Popen(
        [server, "--no-defaults", f"--datadir={data}", f"--port={port}",
         "--bind-address=127.0.0.1", f"--socket={path}/s", f"--pid-file={path}/pid",
         "--character-set-server=utf8mb4", "--innodb-flush-log-at-trx-commit=0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/tmp", **drop,
    )
    atexit.register(_stop, process, path, signal.SIGTERM)
    import MySQLdb

    for _ in range(200):
        with contextlib.suppress(MySQLdb.Error):
            MySQLdb.connect(host="127.0.0.1", port=port, user="root").close()
            break
        time.sleep(0.1)
    else:
        return None
    return {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "dbs",
        "USER": "root",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "OPTIONS": {"charset": "utf8mb4"},
    }
