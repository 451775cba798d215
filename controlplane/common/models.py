"""The base of every model: a time-ordered id and two dates."""

from __future__ import annotations

from typing import Any

from django.db import models

from controlplane.common.ids import uuid7


class BaseModel(models.Model):
    """UUIDv7 primary key (rows sort by age), creation and change dates in UTC."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        label: Any = getattr(self, "name", None)
        return str(label or self.pk)
