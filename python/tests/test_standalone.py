"""The container without Django."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time

import pytest

import dbs

KDF = (1, 64, 1)


def make(data=b"what must not be lost" * 1000, **options):
    buffer = io.BytesIO()
    with dbs.Writer(buffer, "secret", **{"kdf": KDF, **options}) as writer:
        writer.write(data)
    return buffer.getvalue()


def test_no_django_is_needed(tmp_path):
    code = """
import sys
sys.modules["django"] = None
import dbs
with dbs.Writer("a.dbs", "secret", kdf=(1, 64, 1)) as writer:
    writer.write(b"data")
archive = dbs.open("a.dbs")
assert archive.version == 3
payload = archive.unlock("secret")
assert payload.reader().read() == b"data" and len(payload) == 4
assert dbs.validate("a.dbs").status == "clean"
assert dbs.repair("a.dbs", "b.dbs").status == "clean"
assert open("a.dbs", "rb").read() == open("b.dbs", "rb").read()
"""
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert sorted(os.listdir(tmp_path)) == ["a.dbs", "b.dbs"]


def test_a_file_of_the_system_is_written_past_the_cache(tmp_path):
    """The same container as in memory, from the position of the file on, which is behind it then."""
    data = os.urandom(3_000_000)
    with open(tmp_path / "a.dbs", "w+b") as file:
        file.write(b"before")
        with dbs.Writer(file, "secret", kdf=KDF) as writer:
            writer.write(data)
        end = file.tell()
        file.write(b"behind")
    whole = (tmp_path / "a.dbs").read_bytes()
    assert whole[:6] == b"before" and whole[end:] == b"behind"
    assert len(make(data)) == end - 6
    for uncached in [False, True]:
        with open(tmp_path / "a.dbs", "rb") as file:
            archive = dbs._native.open(file, uncached=uncached)
            assert archive.unlock("secret").reader().read() == data
    archive = dbs.open(whole[6:end])
    assert archive.validate("secret").status == "clean"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_derives_keys_too():
    """Its parent's threads are not its own: waiting for them would never end."""
    blob = make(kdf=(1, 64, 4))
    child = os.fork()
    if child == 0:
        # What pytest does at the end of a process must not happen here.
        try:
            clean = dbs.open(blob).validate("secret").status == "clean"
            os._exit(0 if clean else 1)
        finally:
            os._exit(2)
    for _ in range(100):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child waits for ever")
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("profile", ["standard", "coded", "light"])
@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_round_trip(profile, size, tmp_path):
    data = os.urandom(size)
    blob = make(data, profile=profile)
    archive = dbs.open(blob)
    assert archive.validate("secret").status == "clean"
    payload = archive.unlock("secret")
    assert len(payload) == size
    stream = payload.reader()
    pieces = []
    while piece := stream.read(70_001):
        pieces.append(piece)
    assert b"".join(pieces) == data
    assert payload.read_at(size // 2, 1000) == data[size // 2 : size // 2 + 1000]
    out = io.BytesIO()
    assert payload.copy_to(out).status == "clean"
    assert out.getvalue() == data
    path = tmp_path / "x.dbs"
    path.write_bytes(blob)
    for source in (path, str(path), bytearray(blob), io.BytesIO(blob), open(path, "rb")):
        assert dbs.open(source).unlock(b"secret").reader().read() == data


def test_costs_of_the_passphrase():
    buffer = io.BytesIO()
    with dbs.Writer(buffer, "x", kdf=dbs.KDFParams(time_cost=2, memory_cost=128, parallelism=2)):
        pass
    assert dbs.open(buffer).unlock("x").reader().read() == b""
    assert dbs.KDFParams() == (3, 65536, 4)


def test_a_pipe_is_written_without_reading_back():
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            # Takes less than it is given.
            self.data += bytes(data[:100_000])
            return len(data[:100_000])

    pipe = Pipe()
    data = os.urandom(2_500_000)
    with dbs.Writer(pipe, "secret", kdf=KDF) as writer:
        writer.write(memoryview(data))
    assert dbs.open(bytes(pipe.data)).unlock("secret").reader().read() == data


def test_errors_are_told_apart(tmp_path):
    blob = make(os.urandom(3_000_000), level=0)
    with pytest.raises(dbs.WrongPassphrase):
        dbs.open(blob).unlock("wrong")
    for junk in (b"", b"abc", b"not a backup " * 500):
        with pytest.raises(dbs.NotDbs):
            dbs.open(junk)
    with pytest.raises(FileNotFoundError) as caught:
        dbs.open(tmp_path / "none")
    assert caught.value.filename == str(tmp_path / "none")
    assert caught.value.errno == 2 and caught.value.strerror == "No such file or directory"
    with pytest.raises(IsADirectoryError):
        dbs.open(tmp_path).validate()
    with pytest.raises(TypeError):
        dbs.open(5)
    with pytest.raises(TypeError):
        dbs.open(blob).unlock(5)
    with pytest.raises(ValueError, match="no profile"):
        make(profile="double")
    lost = bytearray(blob)
    lost[8192:-8192] = bytes(len(blob) - 16384)
    with pytest.raises(dbs.Damaged) as damaged:
        dbs.open(bytes(lost)).unlock("secret").reader().read()
    assert damaged.value.failed_blocks[0]["kind"]
    report = dbs.validate(bytes(lost))
    assert report.status == "unrecoverable" and report.failed_blocks
    for name in ("NotDbs", "Damaged", "WrongPassphrase", "Unsupported", "LimitExceeded", "Misuse",
                 "AuthenticationFailed"):
        assert issubclass(getattr(dbs, name), dbs.Error)
        assert getattr(dbs, name).__name__ == name


def test_an_exception_of_a_file_comes_through():
    class Full(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        with dbs.Writer(Full(), "secret", kdf=KDF) as writer:
            writer.write(os.urandom(5_000_000))
    assert caught.value.errno == 28


def test_nothing_is_left_without_finish(tmp_path):
    with pytest.raises(RuntimeError):
        with dbs.Writer(tmp_path / "a.dbs", "secret", kdf=KDF) as writer:
            writer.write(b"x" * 3_000_000)
            raise RuntimeError
    assert os.listdir(tmp_path) == []
    writer = dbs.Writer(tmp_path / "a.dbs", "secret", kdf=KDF)
    writer.finish()
    with pytest.raises(dbs.Misuse):
        writer.write(b"more")
    with pytest.raises(FileExistsError):
        dbs.Writer(tmp_path / "a.dbs", "secret", kdf=KDF)


def test_damage_is_healed_and_repaired(tmp_path):
    data = os.urandom(2_000_000)
    blob = make(data, level=0)
    damaged = bytearray(blob)
    damaged[100_000:300_000] = bytes(200_000)
    payload = dbs.open(bytes(damaged)).unlock("secret")
    assert payload.reader().read() == data
    payload.reader().read()
    assert payload.report().status == "recoverable"
    out = io.BytesIO()
    assert dbs.repair(bytes(damaged), out).status == "recoverable"
    assert out.getvalue() == blob
    # Two replicas, each of which alone is beyond repair.
    half = len(blob) // 2
    first = blob[:4096] + bytes(half) + blob[4096 + half :]
    # Whatever one has lost, the other has.
    second = blob[: 4096 + half] + bytes(len(blob) - 8192 - half) + blob[-4096:]
    assert dbs.open(first, second).unlock("secret").reader().read() == data


@pytest.mark.parametrize("work", ["write", "validate", "unlock and read", "repair"])
def test_other_threads_run_meanwhile(work):
    """The interpreter's lock is released: a counter goes on meanwhile."""
    data = os.urandom(30_000_000)
    blob = make(data)
    damaged = blob[: len(blob) // 5] + bytes(len(blob) // 5) + blob[len(blob) // 5 * 2 :]
    counted = []
    stop = threading.Event()

    def count():
        n = 0
        while not stop.is_set():
            n += 1
            time.sleep(0.001)
        counted.append(n)

    works = {
        "write": lambda: make(data),
        "validate": lambda: dbs.validate(damaged, "secret"),
        "unlock and read": lambda: dbs.open(damaged).unlock("secret").reader().read(),
        "repair": lambda: dbs.repair(damaged, io.BytesIO()),
    }
    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    works[work]()
    elapsed = time.monotonic() - start
    stop.set()
    thread.join()
    assert counted[0] > elapsed * 20
