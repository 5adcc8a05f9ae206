"""The settings, read when they are needed and never at import."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

#: Settings that this version reads, with the value that stands for "not set".
KNOWN: dict[str, Any] = {
    "DBS_EXCLUDE_MODELS": (),
    "DBS_FILE_ROOTS": (),
    "DBS_RESTORE_ROOTS": (),
    "DBS_RESTORE_PATH_MAP": {},
    "DBS_SSH_TARGETS": {},
    "DBS_BACKUP_DIR": None,
    "DBS_BACKUP_PREFIX": "backup",
    "DBS_MAX_UPLOAD_BYTES": None,
}

#: Settings of django-dbs up to 0.7.0 that have nothing to act on any more.
RETIRED = frozenset(
    "DBS_" + name
    for name in (
        "ANOMALY_DETECTOR ANOMALY_ENFORCE ANOMALY_MIN_ROWS GEOLOCATION GUARD_EVERYWHERE "
        "GUARD_POLL_SECONDS MANAGER_DATA_DIR MANAGER_JOBS_INLINE MAX_PAYLOAD_BYTES PASSPHRASE "
        "SCHEDULER SCHEDULE_INTERVAL SCHEDULE_KEEP SECURITY_RETENTION_DAYS SETUP_WIZARD "
        "TRUSTED_NETWORKS TRUSTED_PROXIES TRUST_FORWARDED_FOR"
    ).split()
)

#: Models left out unless the project asks for them: Django makes them again by itself
#: (content types, permissions), or they describe the running site and not its data.
DEFAULT_EXCLUDED = (
    "contenttypes.contenttype",
    "auth.permission",
    "admin.logentry",
    "sessions.session",
)


def setting(name: str) -> Any:
    """The project's value of a setting, or the default that stands in `KNOWN`."""
    from django.conf import settings

    value = getattr(settings, name, None)
    return KNOWN[name] if value is None else value


def excluded_models() -> frozenset[str]:
    """Lower-case labels that are left out; ``app.*`` stands for a whole app.

    An entry adds to the default ones, and ``-app.Model`` takes one of them off again.
    """
    labels = set(DEFAULT_EXCLUDED)
    for entry in setting("DBS_EXCLUDE_MODELS"):
        entry = str(entry).lower()
        if entry.startswith("-"):
            labels.discard(entry[1:])
        else:
            labels.add(entry)
    return frozenset(labels)


def is_excluded(label: str, excluded: frozenset[str]) -> bool:
    label = label.lower()
    return label in excluded or label.split(".")[0] + ".*" in excluded


def file_roots() -> list[Path]:
    """Extra directories of every backup."""
    return [Path(os.fspath(root)) for root in setting("DBS_FILE_ROOTS")]


def restore_roots() -> list[Path]:
    return [Path(os.fspath(root)) for root in setting("DBS_RESTORE_ROOTS")]


def path_map() -> dict[str, str]:
    return {os.fspath(a): os.fspath(b) for a, b in dict(setting("DBS_RESTORE_PATH_MAP")).items()}
