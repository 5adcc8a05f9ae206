"""SFTP against a real OpenSSH server on the loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from dbs import ConfigurationError, TransportError, create_backup, validate_backup
from dbs.transports import SSHTarget, list_remote, pull_backup, push_backup, store_backup
from tests.servers import free_port
from tests.zoo.models import Tag

paramiko = pytest.importorskip("paramiko")
SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if os.path.exists("/usr/sbin/sshd") else None)

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default"]),
    pytest.mark.skipif(SSHD is None, reason="OpenSSH's server is not installed (openssh-server)"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user", "stranger"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path / name], check=True
        )
    (path / "authorized").write_text((path / "user.pub").read_text())
    (path / "remote").mkdir()
    port = free_port()
    (path / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host\nPidFile {path}/pid\n"
        f"AuthorizedKeysFile {path}/authorized\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nPasswordAuthentication no\nMaxStartups 100\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen(
        [SSHD, "-D", "-e", "-f", path / "config"], stderr=open(path / "log", "wb")
    )
    for _ in range(100):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    else:
        pytest.fail((path / "log").read_text())
    key = (path / "host.pub").read_text().split()[:2]
    (path / "known_hosts").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    yield path, port
    process.terminate()
    process.wait(20)


@pytest.fixture
def target(server, settings):
    path, port = server
    remote = path / "remote"
    shutil.rmtree(remote)
    remote.mkdir()
    settings.DBS_SSH_TARGETS = {
        "offsite": {
            "host": "127.0.0.1",
            "port": port,
            "username": getpass.getuser(),
            "key_filename": str(path / "user"),
            "remote_dir": str(remote),
            "known_hosts": str(path / "known_hosts"),
        }
    }
    return SSHTarget.from_settings("offsite")


def test_push_and_pull(target, tmp_path):
    Tag.objects.create(name="t")
    data = create_backup("my passphrase")
    place = push_backup(data, "backup.dbs", target)
    assert place == f"127.0.0.1:{target.remote_dir}/backup.dbs"
    assert os.listdir(target.remote_dir) == ["backup.dbs"]
    assert open(f"{target.remote_dir}/backup.dbs", "rb").read() == data
    with pytest.raises(TransportError, match="exists"):
        push_backup(data, "backup.dbs", target)
    assert list_remote(target) == ["backup.dbs"]
    local = pull_backup("backup.dbs", target, tmp_path / "back.dbs")
    assert validate_backup(local, "my passphrase").clean
    # Paths and files, as well as bytes.
    push_backup(local, "path.dbs", target)
    with open(local, "rb") as file:
        push_backup(file, "file.dbs", target)
    backup = create_backup("my passphrase", output=tmp_path / "b.dbs")
    push_backup(backup, "object.dbs", target)
    assert len(list_remote(target)) == 4


def test_the_command_pushes(target, tmp_path, monkeypatch):
    from tests.test_commands import run

    monkeypatch.setenv("DBS_PASSPHRASE", "x")
    path = str(tmp_path / "b.dbs")
    code, out, err = run("dbs_backup", path, "--push", "offsite")
    assert code == 0 and "sent to 127.0.0.1:" in out, err
    assert os.listdir(target.remote_dir) == ["b.dbs"]
    code, out, err = run("dbs_backup", str(tmp_path / "c.dbs"), "--push", "nowhere")
    assert code == 2 and "offsite" in err
    assert not os.path.exists(tmp_path / "c.dbs")


def test_a_failed_push_says_that_the_backup_is_whole(target, settings, tmp_path, monkeypatch):
    from tests.test_commands import run

    monkeypatch.setenv("DBS_PASSPHRASE", "x")
    path = str(tmp_path / "b.dbs")
    for change, words in (
        ({"port": free_port()}, "No connection to 127.0.0.1"),
        ({"key_filename": "/does/not/exist"}, "The key /does/not/exist does not exist"),
    ):
        settings.DBS_SSH_TARGETS = {"offsite": {**vars(target), **change}}
        code, out, err = run("dbs_backup", path, "--push", "offsite", "--force")
        assert code == 7 and words in err and "Errno" not in err, err
        assert out.startswith(f"{path}: ") and err.endswith(f"The backup itself is complete: {path}")
        assert validate_backup(path, "x").clean


def test_unknown_and_changed_host_keys_are_refused(target, server, tmp_path):
    path, port = server
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    target.known_hosts = str(empty)
    with pytest.raises(TransportError, match="host key is not known"):
        push_backup(b"x" * 1000, "b.dbs", target)
    key = (path / "stranger.pub").read_text().split()[:2]
    empty.write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    with pytest.raises(TransportError, match="not the one in the known hosts"):
        push_backup(b"x" * 1000, "b.dbs", target)
    target.known_hosts = str(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="ssh-keyscan"):
        push_backup(b"x" * 1000, "b.dbs", target)
    assert os.listdir(target.remote_dir) == []


def test_other_refusals(target, server):
    path, port = server
    for name in ("", "..", "a/b", "../x"):
        with pytest.raises(ConfigurationError):
            push_backup(b"x", name, target)
    stranger = SSHTarget(**{**vars(target), "key_filename": str(path / "stranger")})
    with pytest.raises(TransportError, match="refuses the key"):
        push_backup(b"x", "b.dbs", stranger)
    target.remote_dir += "/none"
    with pytest.raises(TransportError, match="Create it first"):
        push_backup(b"x", "b.dbs", target)
    with pytest.raises(TransportError, match="No connection"):
        push_backup(b"x", "b.dbs", SSHTarget(**{**vars(target), "port": free_port()}))
    with pytest.raises(ConfigurationError, match="unknown options: colour"):
        SSHTarget.from_dict({"host": "h", "username": "u", "colour": 1})
    assert "hunter2" not in repr(SSHTarget("h", "u", password="hunter2"))


def test_a_cut_connection_leaves_nothing_that_looks_whole(target, server):
    """A proxy in between goes away after 3 MB."""
    _, port = server
    proxy = socket.create_server(("127.0.0.1", 0))
    passed = []

    def serve():
        client, _ = proxy.accept()
        upstream = socket.create_connection(("127.0.0.1", port))

        def back():
            try:
                while data := upstream.recv(65536):
                    client.sendall(data)
            except OSError:
                pass

        threading.Thread(target=back, daemon=True).start()
        total = 0
        while total < 3_000_000:
            data = client.recv(65536)
            upstream.sendall(data)
            total += len(data)
        passed.append(total)
        for s in (client, upstream):
            s.shutdown(socket.SHUT_RDWR)
            s.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    cut_port = proxy.getsockname()[1]
    with open(target.known_hosts) as file:
        known = file.read()
    with open(target.known_hosts, "a") as file:
        file.write(known.replace(f":{port} ", f":{cut_port} "))
    cut = SSHTarget(**{**vars(target), "port": cut_port, "timeout": 5.0})
    with pytest.raises(TransportError):
        push_backup(os.urandom(20_000_000), "backup.dbs", cut)
    thread.join(20)
    assert passed
    names = os.listdir(target.remote_dir)
    assert not [name for name in names if name.endswith(".dbs")]
    assert list_remote(target) == []
    # The next try goes through.
    push_backup(b"y" * 5_000_000, "backup.dbs", target)
    assert list_remote(target) == ["backup.dbs"]


def test_storages(tmp_path, monkeypatch):
    from django.core.files.storage import storages

    from tests.test_commands import run

    assert store_backup(b"data", "b.dbs", "private") == "private:b.dbs"
    assert storages["private"].open("b.dbs").read() == b"data"
    monkeypatch.setenv("DBS_PASSPHRASE", "x")
    code, out, err = run("dbs_backup", str(tmp_path / "c.dbs"), "--storage", "private")
    assert code == 0, err
    with storages["private"].open("c.dbs") as file:
        assert validate_backup(file, "x").clean
    assert run("dbs_backup", str(tmp_path / "d.dbs"), "--storage", "nobody")[0] == 2
    assert not os.path.exists(tmp_path / "d.dbs")
