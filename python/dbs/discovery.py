"""Which models a backup holds, in which order, and what of each row."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connections, models, router

from . import conf
from .exceptions import ConfigurationError
from .registry import BackupRegistry, FieldType, ModelBackup, backup_registry


def autodiscover() -> None:
    """Imports the ``dbs`` module of every installed app, as the admin does with ``admin``."""
    from django.utils.module_loading import autodiscover_modules

    autodiscover_modules("dbs")


@dataclass
class ModelPlan:
    """One model of a backup."""

    model: Any
    config: ModelBackup
    file_fields: list[Any] = field(default_factory=list)
    path_fields: list[Any] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.model._meta.label_lower


@dataclass
class Scope:
    """Everything a backup holds, and notes on what it does not."""

    plans: list[ModelPlan]
    notes: list[str]

    @property
    def labels(self) -> set[str]:
        return {plan.label for plan in self.plans}


def plan_model(model: Any, registry: BackupRegistry) -> ModelPlan:
    config = registry.get(model)
    overrides = dict(config.overrides)
    plan = ModelPlan(model, config)
    many_to_many = {f.name for f in model._meta.local_many_to_many}
    for f in model._meta.local_concrete_fields:
        kind = overrides.pop(f.name, None)
        if kind is None:
            kind = overrides.pop(f.attname, None)
        if kind is None:
            kind = FieldType.FILE if isinstance(f, models.FileField) else FieldType.VALUE
        if kind is FieldType.EXCLUDE:
            if f.primary_key:
                raise ConfigurationError(
                    f"{model._meta.label}.{f.name} is the primary key and cannot be excluded."
                )
            plan.excluded.append(f.name)
        elif kind is FieldType.FILE:
            if not isinstance(f, models.FileField):
                raise ConfigurationError(
                    f"{model._meta.label}.{f.name} is declared FILE and is not a FileField; "
                    "use FieldType.FILE_PATH for a column that holds a path."
                )
            plan.file_fields.append(f)
        elif kind is FieldType.FILE_PATH:
            plan.path_fields.append(f)
        elif kind is not FieldType.VALUE:
            raise ConfigurationError(
                f"{model._meta.label}.{f.name} is declared as {kind!r}, which is not a FieldType."
            )
    for name in list(overrides):
        if name in many_to_many and overrides[name] in (FieldType.EXCLUDE, FieldType.VALUE):
            if overrides.pop(name) is FieldType.EXCLUDE:
                plan.excluded.append(name)
    if overrides:
        raise ConfigurationError(
            f"{type(config).__name__}.overrides names {', '.join(sorted(overrides))}, which "
            f"{model._meta.label} does not have as a column of its own."
        )
    return plan


def discover(
    using: str = "default",
    registry: BackupRegistry | None = None,
    only: Any = None,
) -> Scope:
    """Finds the models of a backup. `only` limits it to some (classes or labels)."""
    registry = backup_registry if registry is None else registry
    excluded = conf.excluded_models()
    wanted = None
    if only is not None:
        wanted = {m.lower() if isinstance(m, str) else m._meta.label_lower for m in only}
    notes: list[str] = []
    plans: dict[str, ModelPlan] = {}
    elsewhere: dict[str, list[str]] = {}
    for model in apps.get_models(include_auto_created=False):
        meta = model._meta
        label = meta.label_lower
        if meta.proxy or meta.swapped or conf.is_excluded(label, excluded):
            continue
        if wanted is not None and label not in wanted:
            continue
        if not meta.managed:
            notes.append(f"{meta.label} is not managed by Django and was left out.")
            continue
        if not router.allow_migrate_model(using, model):
            alias = _database_of(model)
            if alias is not None:
                elsewhere.setdefault(alias, []).append(meta.label)
            continue
        plan = plan_model(model, registry)
        plans[label] = plan
        for many in meta.local_many_to_many:
            through = many.remote_field.through
            if not through._meta.auto_created or many.name in plan.excluded:
                continue
            if not through._meta.managed or through._meta.proxy:
                continue
            if conf.is_excluded(through._meta.label_lower, excluded):
                continue
            plans[through._meta.label_lower] = plan_model(through, registry)
    if wanted is not None:
        unknown = sorted(wanted - set(plans))
        if unknown:
            raise ConfigurationError(
                f"There is no model {', '.join(unknown)} to back up. Use app_label.ModelName; "
                "proxies, unmanaged and excluded models have no rows of their own."
            )
    for alias, labels in elsewhere.items():
        notes.append(
            f"{', '.join(labels)}: in the database {alias!r} and not in this backup. Back it up as "
            f"well, with --database {alias} (using={alias!r})."
        )
    if wanted is None:
        notes += _left_out_targets(plans)
    return Scope(_dependencies_first(plans), notes)


def _database_of(model: Any) -> str | None:
    """The database that has the model's table, if the routers let any have it."""
    return next((a for a in connections if router.allow_migrate_model(a, model)), None)


def has_natural_key(model: Any) -> bool:
    """Whether rows of a model can be named without their ids, as content types can."""
    manager = model._default_manager
    return hasattr(model, "natural_key") and hasattr(manager, "get_by_natural_key")


def _left_out_targets(plans: dict[str, ModelPlan]) -> Iterator[str]:
    """References to rows that are not in the backup, and that another database may not have."""
    for plan in plans.values():
        for f in plan.model._meta.local_concrete_fields:
            remote = getattr(f, "remote_field", None)
            if remote is None or not getattr(f, "db_constraint", False):
                continue
            target = remote.model._meta.concrete_model
            left_out = target._meta.label_lower not in plans and f.name not in plan.excluded
            if left_out and not has_natural_key(remote.model):
                yield (
                    f"{plan.model._meta.label}.{f.name} refers to {target._meta.label}, which is "
                    "not in the backup: such rows come back only where that row is."
                )


def _dependencies_first(plans: dict[str, ModelPlan]) -> list[ModelPlan]:
    """Referred-to models before those that refer to them; cycles are cut by name order.

    The restore does not need the order, as constraints are checked at its end; ``loaddata`` and
    a reader of the rows are better off with it.
    """
    waits_for: dict[str, set[str]] = {}
    needed_by: dict[str, set[str]] = {label: set() for label in plans}
    for label, plan in plans.items():
        targets = set()
        for f in plan.model._meta.local_concrete_fields:
            remote = getattr(f, "remote_field", None)
            if remote is None or isinstance(remote.model, str):
                continue
            target = remote.model._meta.concrete_model._meta.label_lower
            if target != label and target in plans:
                targets.add(target)
        waits_for[label] = targets
        for target in targets:
            needed_by[target].add(label)
    ready = [label for label, targets in waits_for.items() if not targets]
    heapq.heapify(ready)
    waiting = {label for label, targets in waits_for.items() if targets}
    order: list[ModelPlan] = []
    while ready or waiting:
        if not ready:
            # A cycle: start with the model that waits for the fewest others.
            first = min(waiting, key=lambda label: (len(waits_for[label]), label))
            waiting.discard(first)
            heapq.heappush(ready, first)
        label = heapq.heappop(ready)
        order.append(plans[label])
        for dependent in needed_by[label]:
            waits_for[dependent].discard(label)
            if dependent in waiting and not waits_for[dependent]:
                waiting.discard(dependent)
                heapq.heappush(ready, dependent)
    return order
