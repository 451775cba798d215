"""Fetching one row of an already narrowed queryset."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

from controlplane.common.errors import NotFound

RowT = TypeVar("RowT", bound=models.Model)


def visible_or_404(rows: models.QuerySet[RowT], **lookup: Any) -> RowT:
    """Return the one row, or raise `NotFound`: what a caller cannot see does not exist for them."""
    row = rows.filter(**lookup).first()
    if row is None:
        raise NotFound("not_found", f"There is no such {rows.model._meta.verbose_name}, or you cannot see it.")
    return row
