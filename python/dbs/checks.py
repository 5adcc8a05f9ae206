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
    """dbs.W001 unknown setting, dbs.I001 setting without effect, dbs.E001 to E005 wrong values."""
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
    for name in ("DBS_EXCLUDE_MODELS", "DBS_FILE_ROOTS", "DBS_RESTORE_ROOTS"):
        value = getattr(settings, name, None)
        if value is not None and (
            isinstance(value, (str, bytes)) or not hasattr(value, "__iter__")
        ):
            found.append(Error(f"{name} must be a list.", hint=f"{name} = [...]", id="dbs.E001"))
            return found
    found += _excluded_models()
    for root in conf.file_roots():
        if not os.path.isabs(root):
            found.append(
                Error(
                    f"DBS_FILE_ROOTS: {os.fspath(root)!r} is not an absolute path.",
                    hint="A relative path would depend on the directory a command starts in.",
                    id="dbs.E003",
                )
            )
        elif not os.path.isdir(root):
            found.append(
                Warning(
                    f"DBS_FILE_ROOTS: {os.fspath(root)} does not exist.",
                    hint="A backup would stop there: create it or take it off the list.",
                    id="dbs.W003",
                )
            )
    targets = conf.setting("DBS_SSH_TARGETS")
    if not isinstance(targets, dict):
        found.append(Error("DBS_SSH_TARGETS must be a dictionary.", id="dbs.E001"))
        return found
    from .transports import SSHTarget

    for name in targets:
        try:
            SSHTarget.from_settings(name)
        except ConfigurationError as error:
            found.append(Error(str(error), id="dbs.E004"))
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
