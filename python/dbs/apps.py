"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class DbsConfig(AppConfig):
    name = "dbs"
    label = "dbs"
    verbose_name = "Backups"

    def ready(self) -> None:
        from . import checks  # noqa: F401  Registers the system checks.
        from .discovery import autodiscover

        autodiscover()
