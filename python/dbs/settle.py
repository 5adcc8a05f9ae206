"""Rows that refer to rows that are not there any more, before the constraints are checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import DatabaseError, models
from django.db.models import Exists, OuterRef, Q

from .exceptions import RestoreError


def settle_outsiders(inside: list[Any], using: str) -> list[str]:
    """After a flush: rows of models that are not `inside` and refer to rows that are gone.

    Their foreign keys say what a deletion means for them; where they forbid it, the restore
    stops. Returns notes on what was done.
    """
    notes: list[str] = []
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        if model in inside or meta.proxy or meta.swapped or not meta.managed:
            continue
        for field in meta.local_concrete_fields:
            remote = field.remote_field
            if remote is None or not hasattr(field, "target_field"):
                continue
            if remote.model._meta.concrete_model in inside:
                notes += _settle(model, field, using)
    return notes


def _settle(model: Any, field: Any, using: str) -> Iterator[str]:
    try:
        rows = _without_target(model, field, using)
        count = rows.count()
    except DatabaseError:
        # A table that is not there has no such rows.
        return
    if not count:
        return
    label = model._meta.label
    on_delete = field.remote_field.on_delete
    if on_delete is models.CASCADE:
        rows.delete()
        yield (
            f"{count} rows of {label} referred to rows that are not in the backup and were "
            "deleted with them."
        )
    elif on_delete is models.SET_NULL:
        rows.update(**{field.name: None})
        yield (
            f"{count} rows of {label} referred to rows that are not in the backup: their "
            f"{field.name} is empty now."
        )
    elif getattr(field, "db_constraint", True):
        raise RestoreError(
            f"{count} rows of {label}, which is not in the backup, refer by {field.name} to "
            "rows that --flush would delete. Delete them first, or restore without --flush."
        )


def settle_insiders(inside: list[Any], using: str) -> list[str]:
    """After a salvage: rows that refer to lost ones go as well, until all fit together.

    Returns what was left out.
    """
    # Rows of django-dbs bring the tables between them as lists, without rows of their own.
    models_ = list(inside)
    for model in inside:
        for many in model._meta.local_many_to_many:
            through = many.remote_field.through
            if through._meta.auto_created and through not in models_:
                models_.append(through)
    left_out: list[str] = []
    again = True
    while again:
        again = False
        for model in models_:
            for field in model._meta.local_concrete_fields:
                # Without a constraint in the database a reference may lead nowhere.
                if field.remote_field is None or not getattr(field, "db_constraint", False):
                    continue
                rows = _without_target(model, field, using)
                count = rows.count()
                if not count:
                    continue
                again = True
                what = f"{count} rows of {model._meta.label} refer by {field.name} to lost rows"
                left_out.append(f"{what}: {'emptied' if field.null else 'left out'}")
                # By keys: MySQL changes no table that the same statement looks into.
                keys = list(rows.values_list("pk", flat=True))
                for start in range(0, len(keys), 500):
                    part = models.QuerySet(model=model, using=using)
                    part = part.filter(pk__in=keys[start : start + 500])
                    if field.null:
                        part.update(**{field.name: None})
                    else:
                        part._raw_delete(using)
    return left_out


def _without_target(model: Any, field: Any, using: str) -> Any:
    """The rows whose foreign key leads to no row."""
    target = models.QuerySet(model=field.remote_field.model._meta.concrete_model, using=using)
    return models.QuerySet(model=model, using=using).filter(
        Q(**{f"{field.name}__isnull": False}),
        ~Exists(target.filter(**{field.target_field.attname: OuterRef(field.attname)})),
    )
