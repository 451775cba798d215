"""What kept replies are about: who repeats a request with a key must still be allowed what it did."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from django.db import models

from controlplane.accounts.models import User
from controlplane.api.idempotency.sight import register_argument
from controlplane.workspaces.permissions import Permission, Target, require


def register_permission_argument(name: str, model: type[models.Model], target: Callable[[Any], Target], *, field: str = "pk") -> None:
    """Say that an argument of routes is a row's `field`; permissions on the row are those on `target(row)`."""

    def check(actor: User, declared: Enum, row: models.Model) -> None:
        if isinstance(declared, Permission):
            require(actor, declared, target(row))

    register_argument(name, model, check, field=field)


def itself(row: Any) -> Target:
    """Return the row: what permissions are given on."""
    found: Target = row
    return found
