"""What a caller of the storage API can see: the live objects and uploads of the token's project, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db import models
from django.db.models import Q

from controlplane.common.clock import now

if TYPE_CHECKING:
    from storage.access import StorageAccess
    from storage.models import StoredObject, Upload  # noqa: F401


class StoredObjectQuerySet(models.QuerySet["StoredObject"]):
    """Objects."""

    def live(self) -> Self:
        """Leave out what has expired and waits for the sweep."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now()))

    def visible_to(self, access: StorageAccess) -> Self:
        """Return the live objects of the token's project."""
        return self.live().filter(project_id=access.project_id)

    def below(self, prefix: str) -> Self:
        """Return objects whose path begins with these very characters, a range of the index on (project, path)."""
        return self.filter(path__startswith=prefix) if prefix else self

    def in_folder(self, path: str) -> Self:
        """Return the object at a path and all below it as a folder: never a neighbour whose name only begins alike."""
        folder = path.rstrip("/") + "/"
        inside = Q(path__startswith=folder)
        return self.filter(inside if path.endswith("/") else inside | Q(path=path))


class UploadQuerySet(models.QuerySet["Upload"]):
    """Uploads."""

    def visible_to(self, access: StorageAccess) -> Self:
        """Return the direct uploads of the token's project; streams are nobody's business."""
        return self.filter(project_id=access.project_id, kind__in=("put", "post", "multipart"))
