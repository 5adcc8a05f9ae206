"""Natural keys: rows named by what they are and not by their ids, there and back.

Content types and permissions have other ids in every database.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from .discovery import has_natural_key
from .exceptions import RestoreError


class NaturalKeys:
    """Natural keys of rows whose model is not in the backup, found a chunk at a time."""

    def __init__(self, using: str, labels: set[str]) -> None:
        self.using = using
        self.labels = labels
        self._known: dict[Any, dict[Any, Any]] = {}

    def applies_to(self, field: Any) -> bool:
        if field.remote_field is None or not hasattr(field, "target_field"):
            return False
        target = field.remote_field.model
        label = target._meta.concrete_model._meta.label_lower
        return label not in self.labels and has_natural_key(target)

    def resolve(self, field: Any, values: Any) -> dict[Any, Any]:
        """From values of a foreign key to natural keys; a value with no row is left out."""
        target = field.remote_field.model
        known = self._known.setdefault((target, field.target_field.name), {})
        missing = {v for v in values if v is not None and v not in known}
        if missing:
            name = field.target_field.attname
            rows = models.QuerySet(model=target, using=self.using)
            for row in rows.filter(**{f"{field.target_field.name}__in": missing}):
                known[getattr(row, name)] = list(row.natural_key())
        return known


class NaturalLookup:
    """Finds rows by natural key; content types and permissions that are not there are made."""

    def __init__(self, using: str, notes: list[str]) -> None:
        self.using = using
        self.notes = notes
        self._known: dict[Any, Any] = {}

    def find(self, field: Any, key: list[Any]) -> Any:
        model = field.remote_field.model
        name = (model, field.target_field.attname, tuple(map(str, key)))
        if name not in self._known:
            self._known[name] = getattr(self._object(model, key), field.target_field.attname)
        return self._known[name]

    def _object(self, model: Any, key: list[Any]) -> Any:
        manager = model._default_manager.db_manager(self.using)
        if not hasattr(manager, "get_by_natural_key"):
            raise RestoreError(
                f"The backup refers to a row of {model._meta.label} by its natural key {key!r}, "
                "and the model's manager has no get_by_natural_key()."
            )
        try:
            return manager.get_by_natural_key(*key)
        except ObjectDoesNotExist:
            made = self._make(model, key)
            if made is None:
                raise RestoreError(
                    f"The backup refers to the {model._meta.verbose_name} {key!r}, which is not "
                    f"in this database. Run `manage.py migrate` first, or create it."
                ) from None
            return made

    def _make(self, model: Any, key: list[Any]) -> Any:
        label = model._meta.label_lower
        rows = models.QuerySet(model=model, using=self.using)
        if label == "contenttypes.contenttype" and len(key) == 2:
            made = rows.create(app_label=key[0], model=key[1])
            model.objects.clear_cache()
        elif label == "auth.permission" and len(key) == 3:
            content_type = model._meta.get_field("content_type")
            type_id = self.find(content_type, key[1:])
            name = f"Can {str(key[0]).replace('_', ' ', 1)}"
            made = rows.create(codename=key[0], content_type_id=type_id, name=name)
        else:
            return None
        self.notes.append(f"The {model._meta.verbose_name} {'.'.join(map(str, key))} was missing and was made.")
        return made
