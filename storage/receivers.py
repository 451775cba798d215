"""What the storage does when something happens to projects."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from controlplane.common.errors import Conflict
from controlplane.projects.models import Project
from controlplane.projects.signals import project_deleting
from storage.errors import readable_size
from storage.models import StoredObject, Upload
from storage.space import locked_space
from storage.uploads import discard, discard_upload


@receiver(project_deleting, dispatch_uid="storage.project_deleting")
def clear_project(project: Project, **_: Any) -> None:
    """Let temporary objects and uploads go with their project. Raises `Conflict` while it holds objects that somebody meant to keep."""
    space = locked_space(project.pk)
    kept = space.count - space.temporary_count
    if kept:
        size = readable_size(space.used_bytes - space.temporary_bytes)
        raise Conflict(
            "project_not_empty",
            f"'{project.path}' still stores {kept} objects ({size}). Delete them first: DELETE /v1/objects/?all=true with a storage token.",
            fields={"objects": [str(kept)]},
        )
    temporary = StoredObject.objects.filter(project=project)
    uploads = Upload.objects.filter(project=project)
    # Locked first: a sweep that gives them up at the same time notes the same keys.
    for upload in uploads.select_for_update().order_by("pk"):
        discard_upload(upload)
    discard(temporary.values_list("key", flat=True))
    uploads.delete()
    temporary.delete()
