"""Sending finished backups elsewhere: by SFTP, or into one of Django's storages."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import posixpath
import secrets
from collections.abc import Iterator
from typing import Any

from . import conf
from .exceptions import ConfigurationError, TransportError

PIECE = 256 << 10


@dataclasses.dataclass
class SSHTarget:
    """A place to send backups to. Names keys by path, so that settings hold no secrets."""

    host: str
    username: str
    port: int = 22
    key_filename: str | None = None
    key_passphrase: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    known_hosts: str | None = None
    remote_dir: str = "."
    use_agent: bool = True
    connect_timeout: float = 30.0
    timeout: float = 60.0

    @classmethod
    def from_settings(cls, name: str) -> SSHTarget:
        """The target of that name in ``DBS_SSH_TARGETS``."""
        targets = conf.setting("DBS_SSH_TARGETS")
        if name not in targets:
            known = ", ".join(sorted(targets)) or "none"
            raise ConfigurationError(
                f"DBS_SSH_TARGETS has no target {name!r}. It has: {known}."
            )
        return cls.from_dict(targets[name], name)

    @classmethod
    def from_dict(cls, values: Any, name: str = "") -> SSHTarget:
        shown = f"The SSH target {name!r}" if name else "The SSH target"
        if not isinstance(values, dict):
            raise ConfigurationError(f"{shown} must be a dictionary.")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ConfigurationError(
                f"{shown} has unknown options: {', '.join(unknown)}. Known: {', '.join(fields)}."
            )
        for required in ("host", "username"):
            if not values.get(required):
                raise ConfigurationError(f"{shown} needs {required!r}.")
        target = cls(**values)
        for path in ("key_filename", "known_hosts"):
            if getattr(target, path):
                setattr(target, path, os.path.expanduser(os.fspath(getattr(target, path))))
        return target


def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError:
        raise ConfigurationError(
            'SFTP needs paramiko: install it with `pip install "django-dbs[ssh]"`.'
        ) from None
    return paramiko


@contextlib.contextmanager
def _session(target: SSHTarget) -> Iterator[Any]:
    """An SFTP session to a host whose key is known. Unknown and changed keys are refused."""
    paramiko = _paramiko()
    client = paramiko.SSHClient()
    try:
        if target.known_hosts:
            client.load_host_keys(target.known_hosts)
        else:
            client.load_system_host_keys()
    except OSError as error:
        raise ConfigurationError(
            f"The known hosts file {target.known_hosts} cannot be read: {error.strerror}. Make "
            f"it with `ssh-keyscan -p {target.port} {target.host}` and check the key."
        ) from error
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        try:
            client.connect(
                target.host,
                port=target.port,
                username=target.username,
                password=target.password,
                key_filename=target.key_filename,
                passphrase=target.key_passphrase,
                allow_agent=target.use_agent and not target.key_filename,
                look_for_keys=target.use_agent and not target.key_filename,
                timeout=target.connect_timeout,
                banner_timeout=target.connect_timeout,
                auth_timeout=target.connect_timeout,
            )
            sftp = client.open_sftp()
            sftp.get_channel().settimeout(target.timeout)
        except paramiko.BadHostKeyException as error:
            raise TransportError(
                f"The key of {target.host} is not the one in the known hosts file. Somebody may "
                "be listening; nothing was sent."
            ) from error
        except paramiko.AuthenticationException as error:
            raise TransportError(
                f"{target.username}@{target.host} refuses the key or the password."
            ) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            text = str(error) or type(error).__name__
            if isinstance(error, FileNotFoundError) and error.filename:
                raise ConfigurationError(
                    f"The key {os.fsdecode(error.filename)} does not exist. Make it with "
                    "`ssh-keygen -f FILE`, or correct key_filename in the SSH target."
                ) from error
            if isinstance(error, OSError) and error.strerror:
                text = error.strerror
            if "not found in known_hosts" in text:
                text = (
                    "its host key is not known, nothing was sent. Check the key and add it to "
                    "the known hosts file"
                )
            raise TransportError(f"No connection to {target.host}:{target.port}: {text}.") from error
        try:
            yield sftp
        except (paramiko.SSHException, EOFError, TimeoutError, ConnectionError) as error:
            raise TransportError(
                f"The connection to {target.host} was lost: {error or type(error).__name__}."
            ) from error
    finally:
        client.close()


@contextlib.contextmanager
def _opened(data: Any) -> Iterator[tuple[Any, int]]:
    """A backup as a binary file and its length: bytes, a path, or a file."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        yield io.BytesIO(data), len(data)
    elif isinstance(data, (str, os.PathLike)):
        with open(data, "rb") as file:
            yield file, os.fstat(file.fileno()).st_size
    else:
        end = data.seek(0, io.SEEK_END)
        data.seek(0)
        yield data, end


def _safe_name(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise ConfigurationError(f"{name!r} is not a plain file name.")
    return name


def push_backup(data: Any, remote_name: str, target: SSHTarget) -> str:
    """Uploads a backup (bytes, a path or a file) and returns its remote path.

    It is sent under a ``.part`` name and renamed when it has arrived whole, so that a cut
    connection leaves nothing that looks like a backup. An existing file of the name is kept and
    refused.
    """
    _safe_name(remote_name)
    final = posixpath.join(target.remote_dir, remote_name)
    part = posixpath.join(target.remote_dir, f".{remote_name}.{secrets.token_hex(4)}.part")
    with _opened(data) as (source, size), _session(target) as sftp:
        try:
            if _exists(sftp, final):
                raise TransportError(f"{target.host}:{final} exists; choose another name.")
            try:
                with sftp.open(part, "wbx") as remote:
                    remote.set_pipelined(True)
                    while piece := source.read(PIECE):
                        remote.write(piece)
                arrived = sftp.stat(part).st_size
                if arrived != size:
                    raise TransportError(
                        f"{arrived} of {size} bytes arrived at {target.host}; nothing was kept."
                    )
                sftp.chmod(part, 0o600)
                sftp.rename(part, final)
            except BaseException:
                with contextlib.suppress(Exception):
                    sftp.remove(part)
                raise
        except FileNotFoundError as error:
            raise TransportError(
                f"{target.host} has no directory {target.remote_dir}. Create it first."
            ) from error
        except PermissionError as error:
            raise TransportError(
                f"{target.username} may not write to {target.host}:{target.remote_dir}."
            ) from error
        except OSError as error:
            raise TransportError(
                f"Sending to {target.host}:{final} failed: {error or type(error).__name__}."
            ) from error
    return f"{target.host}:{final}"


def _exists(sftp: Any, path: str) -> bool:
    try:
        sftp.stat(path)
    except FileNotFoundError:
        return False
    return True


def pull_backup(remote_name: str, target: SSHTarget, output: str | os.PathLike[str]) -> str:
    """Downloads a backup to a local path, which must not exist, and returns that path."""
    from .container import atomic_file

    _safe_name(remote_name)
    final = posixpath.join(target.remote_dir, remote_name)
    with atomic_file(output) as file, _session(target) as sftp:
        try:
            size = sftp.stat(final).st_size
            with sftp.open(final, "rb") as remote:
                remote.prefetch(size)
                while piece := remote.read(PIECE):
                    file.write(piece)
        except OSError as error:
            raise TransportError(f"Fetching {target.host}:{final} failed: {error}.") from error
        if file.tell() != size:
            raise TransportError(f"{file.tell()} of {size} bytes came from {target.host}.")
    return os.fspath(output)


def list_remote(target: SSHTarget) -> list[str]:
    """Names of the finished backups in the target's directory."""
    with _session(target) as sftp:
        return sorted(name for name in sftp.listdir(target.remote_dir) if name.endswith(".dbs"))


def store_backup(data: Any, name: str, alias: str = "default") -> str:
    """Saves a backup in a storage of ``STORAGES`` and returns the name it has there."""
    from django.core.files import File
    from django.core.files.storage import storages

    storage = storages[alias]
    with _opened(data) as (source, size):
        saved = storage.save(name, File(source, name=name))
    with contextlib.suppress(NotImplementedError):
        if storage.size(saved) != size:
            storage.delete(saved)
            raise TransportError(f"The storage {alias!r} kept only a part of {name}; removed.")
    return f"{alias}:{saved}"
