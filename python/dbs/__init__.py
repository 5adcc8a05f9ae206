"""DBS: backups that heal themselves. One encrypted, redundant file for a whole Django project.

Without Django: `open`, `Writer`, `validate`, `repair`. In a Django project, with ``"dbs"`` in
``INSTALLED_APPS``: `create_backup`, `restore_backup`, `validate_backup` and the registry.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

_PLACES = {
    # The container, usable without Django.
    "open": "standalone",
    "Writer": "standalone",
    "validate": "standalone",
    "repair": "standalone",
    "KDFParams": "container",
    # Django.
    "BackupRegistry": "registry",
    "FieldType": "registry",
    "ModelBackup": "registry",
    "backup_registry": "registry",
    "create_backup": "backup",
    "write_backup": "backup",
    "restore_backup": "restore",
    "validate_backup": "checking",
    "list_backup": "checking",
    "repair_backup": "checking",
    # Errors.
    "AuthenticationFailed": "exceptions",
    "BackupError": "exceptions",
    "ConfigurationError": "exceptions",
    "Damaged": "exceptions",
    "Error": "exceptions",
    "LimitExceeded": "exceptions",
    "MissingFiles": "exceptions",
    "Misuse": "exceptions",
    "NotDbs": "exceptions",
    "RestoreError": "exceptions",
    "TransportError": "exceptions",
    "Unsupported": "exceptions",
    "WrongPassphrase": "exceptions",
}

__all__ = ["__version__", *sorted(_PLACES)]  # noqa: PLE0604

if TYPE_CHECKING:
    from .backup import create_backup as create_backup
    from .backup import write_backup as write_backup
    from .checking import list_backup as list_backup
    from .checking import repair_backup as repair_backup
    from .checking import validate_backup as validate_backup
    from .container import KDFParams as KDFParams
    from .exceptions import AuthenticationFailed as AuthenticationFailed
    from .exceptions import BackupError as BackupError
    from .exceptions import ConfigurationError as ConfigurationError
    from .exceptions import Damaged as Damaged
    from .exceptions import Error as Error
    from .exceptions import LimitExceeded as LimitExceeded
    from .exceptions import MissingFiles as MissingFiles
    from .exceptions import Misuse as Misuse
    from .exceptions import NotDbs as NotDbs
    from .exceptions import RestoreError as RestoreError
    from .exceptions import TransportError as TransportError
    from .exceptions import Unsupported as Unsupported
    from .exceptions import WrongPassphrase as WrongPassphrase
    from .registry import BackupRegistry as BackupRegistry
    from .registry import FieldType as FieldType
    from .registry import ModelBackup as ModelBackup
    from .registry import backup_registry as backup_registry
    from .restore import restore_backup as restore_backup
    from .standalone import Writer as Writer
    from .standalone import open as open
    from .standalone import repair as repair
    from .standalone import validate as validate


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that the container is usable where Django is not installed or not
    # configured, and ``import dbs`` costs nothing.
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{place}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
