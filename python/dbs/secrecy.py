"""Passphrases stay out of error reports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.views.decorators.debug import sensitive_variables

Function = TypeVar("Function", bound=Callable[..., Any])


def hides_passphrase(function: Function) -> Function:
    """Keeps `passphrase`, here and in everything called from here, out of Django's error reports.

    Those list the variables of every frame, and are mailed to ADMINS or kept by a service.
    """
    # The decorator of Django has no types of its own.
    return cast(Function, sensitive_variables("passphrase")(function))
