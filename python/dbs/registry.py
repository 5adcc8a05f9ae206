"""What a project declares about its models. Everything has a default: register to override."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Type

from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet


class FieldType(enum.Enum):
    """How a column is treated."""

    #: The column's value (the default).
    VALUE = "value"
    #: The column's value and the file behind it (the default of `FileField` and `ImageField`).
    FILE = "file"
    #: A string column that holds a path: the value, and the file at that path.
    FILE_PATH = "file_path"
    #: Not backed up. A restored row has the field's default, an existing row keeps its value.
    EXCLUDE = "exclude"


class ModelBackup:
    """Overrides for one model. Subclass it and register it."""

    #: Field name to `FieldType`, for the columns whose default is not right.
    overrides: Mapping[str, FieldType] = {}
    #: Directories embedded in the backup beside the model's own files.
    file_roots: Sequence[str] = ()

    def get_queryset(self, model: Type[Model]) -> Optional[QuerySet]:
        """The rows to back up; ``None`` (the default) means every row of the table."""
        return None


class BackupRegistry:
    """The project's overrides, by model."""

    def __init__(self) -> None:
        self._configs: Dict[Any, ModelBackup] = {}

    def register(self, model: Type[Model], config: Optional[Type[ModelBackup]] = None) -> Callable:
        """Registers overrides, as a decorator or as a plain call.

        Registration never decides *whether* a model is in the backup: all are, but those that
        ``DBS_EXCLUDE_MODELS`` names.
        """
        if config is not None:
            self._configs[model] = config()
        else:
            self._configs.setdefault(model, ModelBackup())

        def decorator(config_class: Type[ModelBackup]) -> Type[ModelBackup]:
            if not (isinstance(config_class, type) and issubclass(config_class, ModelBackup)):
                raise ConfigurationError(
                    f"{config_class!r} is registered for {model._meta.label} and is not a "
                    "subclass of dbs.ModelBackup."
                )
            self._configs[model] = config_class()
            return config_class

        return decorator

    def unregister(self, model: Type[Model]) -> None:
        self._configs.pop(model, None)

    def clear(self) -> None:
        self._configs.clear()

    def get(self, model: Type[Model]) -> ModelBackup:
        return self._configs.get(model) or _DEFAULT

    def items(self) -> List[Any]:
        return list(self._configs.items())

    def models(self) -> List[Any]:
        return list(self._configs)

    def __contains__(self, model: object) -> bool:
        return model in self._configs


_DEFAULT = ModelBackup()

#: The registry of the project.
backup_registry = BackupRegistry()
