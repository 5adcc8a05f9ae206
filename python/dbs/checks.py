"""System checks. Their ids are stable; settings can silence them with SILENCED_SYSTEM_CHECKS."""

from __future__ import annotations

import difflib
import os
from typing import Any

from django.core.checks import CheckMessage, Error, Info, Warning, register

from . import conf
from .exceptions import ConfigurationError


@register("dbs")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """dbs.W001 unknown setting, dbs.I001 setting without effect, dbs.E001 to E004 wrong values."""
    from django.conf import settings

    found: list[CheckMessage] = []
    names = [name for name in dir(settings) if name.startswith("DBS_")]
    for name in names:
        if name in conf.KNOWN:
            continue
        if name in conf.RETIRED:
            found.append(
                Info(
                    f"{name} is a setting of django-dbs up to 0.7.0 and has no effect.",
                    hint="Remove it.",
                    id="dbs.I001",
                )
            )
            continue
        close = difflib.get_close_matches(name, conf.KNOWN, 1)
        found.append(
            Warning(
                f"{name} is not a setting of DBS.",
                hint=f"Did you mean {close[0]}?" if close else "Remove it.",
                id="dbs.W001",
            )
        )
    wrong = _wrong_types()
    if wrong:
        return found + wrong
    found += _excluded_models()
    for name, roots in (
        ("DBS_FILE_ROOTS", conf.file_roots()),
        ("DBS_RESTORE_ROOTS", conf.restore_roots()),
    ):
        for root in roots:
            if not os.path.isabs(root):
                found.append(
                    Error(
                        f"{name}: {os.fspath(root)!r} is not an absolute path.",
                        hint="A relative path would depend on the directory a command starts in.",
                        id="dbs.E003",
                    )
                )
            elif name == "DBS_FILE_ROOTS" and not os.path.isdir(root):
                found.append(
                    Warning(
                        f"{name}: {os.fspath(root)} does not exist.",
                        hint="A backup would stop there: create it or take it off the list.",
                        id="dbs.W003",
                    )
                )
    from .transports import SSHTarget

    for name in conf.setting("DBS_SSH_TARGETS"):
        try:
            SSHTarget.from_settings(name)
        except ConfigurationError as error:
            found.append(Error(str(error), id="dbs.E004"))
    return found


def _wrong_types() -> list[CheckMessage]:
    """dbs.E001: values that the rest would stumble over."""
    from django.conf import settings

    def is_path(value: Any) -> bool:
        return isinstance(value, (str, os.PathLike))

    def is_list(value: Any) -> bool:
        return not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")

    def is_number(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value > 0

    expected: dict[str, tuple[Any, str, str]] = {
        "DBS_EXCLUDE_MODELS": (is_list, "a list", "[...]"),
        "DBS_FILE_ROOTS": (
            lambda v: is_list(v) and all(map(is_path, v)), "a list of paths", "[...]"
        ),
        "DBS_RESTORE_ROOTS": (
            lambda v: is_list(v) and all(map(is_path, v)), "a list of paths", "[...]"
        ),
        "DBS_RESTORE_PATH_MAP": (
            lambda v: isinstance(v, dict) and all(map(is_path, [*v, *v.values()])),
            "a dictionary of paths", '{"/old": "/new"}',
        ),
        "DBS_SSH_TARGETS": (lambda v: isinstance(v, dict), "a dictionary", "{...}"),
        "DBS_BACKUP_DIR": (is_path, "a path", '"/var/backups/site"'),
        "DBS_BACKUP_PREFIX": (
            lambda v: isinstance(v, str) and bool(v) and "/" not in v,
            "the beginning of a file name", '"backup"',
        ),
        "DBS_MAX_UPLOAD_BYTES": (is_number, "a number of bytes", "10**9"),
    }
    found: list[CheckMessage] = []
    for name, (holds, what, example) in expected.items():
        value = getattr(settings, name, None)
        if value is not None and not holds(value):
            found.append(Error(f"{name} must be {what}.", hint=f"{name} = {example}", id="dbs.E001"))
    return found


def _excluded_models() -> list[CheckMessage]:
    from django.apps import apps

    found: list[CheckMessage] = []
    for entry in conf.setting("DBS_EXCLUDE_MODELS"):
        label = str(entry).lstrip("-")
        app, _, model = label.partition(".")
        try:
            if model == "*":
                apps.get_app_config(app)
            else:
                apps.get_model(label)
        except (LookupError, ValueError):
            found.append(
                Warning(
                    f"DBS_EXCLUDE_MODELS: there is no model {label!r}.",
                    hint='Write "app_label.ModelName", or "app_label.*" for a whole app.',
                    id="dbs.W002",
                )
            )
    return found


@register("dbs")
def check_registry(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """dbs.E002: a registration names a field that is not there, or a type that cannot be."""
    from .discovery import plan_model
    from .registry import backup_registry

    found: list[CheckMessage] = []
    for model, config in backup_registry.items():
        try:
            plan_model(model, backup_registry)
        except ConfigurationError as error:
            found.append(Error(str(error), obj=type(config), id="dbs.E002"))
        if isinstance(config.file_roots, (str, bytes)):
            found.append(
                Error(
                    f"{type(config).__name__}.file_roots must be a list.",
                    obj=type(config),
                    id="dbs.E005",
                )
            )
    return found
