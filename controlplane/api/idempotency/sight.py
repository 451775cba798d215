"""Who may see a kept reply: rooms tell here what the arguments of their routes name, and a replay looks at those again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from django.db import models
from django.urls import Resolver404, resolve

from controlplane.api.idempotency.sealing import Reply
from controlplane.common.lookup import visible_or_404

# (actor, what the view declares or None, id, whether the row may be gone): raises `NotFound` or `PermissionDenied`.
Look = Callable[[Any, Enum | None, Any, bool], None]
LOOKS: dict[str, Look] = {}


def register_argument(
    name: str, model: type[models.Model], require: Callable[[Any, Enum, Any], None] | None = None, *, field: str = "pk"
) -> None:
    """Say that an argument of routes is a row's `field`; the model's manager has `visible_to(actor)`.

    `require(actor, declared, row)` raises when the actor may not do on the row what the view declares.
    """

    def look(actor: Any, declared: Enum | None, value: Any, may_be_gone: bool) -> None:
        rows: Any = model._default_manager
        if may_be_gone and not rows.filter(**{field: value}).exists():
            return  # who asks has made it, and nobody else sees it: it is gone
        row = visible_or_404(rows.visible_to(actor), **{field: value})
        if require is not None and declared is not None:
            require(actor, declared, row)

    LOOKS[name] = look


def look_again(actor: Any, declared: Enum | None, arguments: Mapping[str, Any], reply: Reply) -> None:
    """Raise `NotFound` or `PermissionDenied` unless the actor would get this reply's subject now. A reply without a body tells nothing.

    What the route names and is gone, nobody gets any more; what the request itself made may be gone.
    """
    if not reply.body or not getattr(actor, "is_authenticated", False):
        return
    for name, value in arguments.items():
        if name in LOOKS:
            LOOKS[name](actor, declared, value, False)
    for name, value in made_arguments(reply).items():
        if name in LOOKS:
            LOOKS[name](actor, None, value, True)


def made_arguments(reply: Reply) -> dict[str, Any]:
    """Return the arguments of the route of what was made: its address is the `url` of the reply."""
    try:
        told = json.loads(reply.body)
        return dict(resolve(urlsplit(told["url"]).path).kwargs)
    except (ValueError, TypeError, KeyError, AttributeError, Resolver404):
        return {}
