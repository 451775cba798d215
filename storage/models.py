"""Objects of projects, uploads under way, and keys whose bytes are to be removed."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from controlplane.accounts.models import User
from controlplane.common.models import BaseModel
from controlplane.projects.models import Project
from storage.querysets import StoredObjectQuerySet, UploadQuerySet

PATH_LENGTH = 1024
CONTENT_TYPE_LENGTH = 200
KEY_LENGTH = 200
ONE_AT_A_PATH = "object_path_unique"


class Space(models.Model):
    """What a project's storage holds; its lock orders all that changes there. `quota_bytes` None: what the plan gives each project."""

    project = models.OneToOneField(Project, on_delete=models.CASCADE, primary_key=True, related_name="space")
    count = models.PositiveBigIntegerField(default=0)
    used_bytes = models.PositiveBigIntegerField(default=0)
    temporary_count = models.PositiveBigIntegerField(default=0)
    temporary_bytes = models.PositiveBigIntegerField(default=0)
    quota_bytes = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = "storage space"

    def __str__(self) -> str:
        return f"space of {self.project_id}"


class StoredObject(BaseModel):
    """A stored file: its id is the `uid` of the API, its bytes lie under `key`, which never changes its content.

    With a path it stays until it is deleted; without one it is temporary and ends at `expires_at`. Overwriting gives it another key.
    Paths are compared byte by byte (collation C), so that prefixes are ranges of the index; so are keys, as object stores list them.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="stored_objects")
    path = models.CharField(max_length=PATH_LENGTH, null=True, db_collation="C")  # noqa: DJ001 - no path is not an empty one
    key = models.CharField(max_length=KEY_LENGTH, unique=True, db_collation="C")
    content_type = models.CharField(max_length=CONTENT_TYPE_LENGTH)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    is_directory_archive = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = StoredObjectQuerySet.as_manager()

    class Meta:
        verbose_name = "object"
        constraints = [
            models.UniqueConstraint(fields=["project", "path"], name=ONE_AT_A_PATH),
            models.CheckConstraint(
                condition=Q(path=None, expires_at__isnull=False) | Q(path__isnull=False, expires_at=None), name="object_path_or_end"
            ),
        ]
        indexes = [
            models.Index(fields=["project", "sha256"], name="object_hash"),
            models.Index(fields=["project", "id"], name="object_age"),
            models.Index(fields=["expires_at"], condition=Q(expires_at__isnull=False), name="object_end"),
        ]

    def __str__(self) -> str:
        return self.path or str(self.pk)


class UploadKind(models.TextChoices):
    """How the bytes come: through this service (a copy, too), or to the object store itself."""

    STREAM = "stream"
    COPY = "copy"
    PUT = "put"
    POST = "post"
    MULTIPART = "multipart"


class UploadState(models.TextChoices):
    """OPEN until `complete`; VERIFYING while a worker reads the bytes; DONE and FAILED are kept for a day, to be asked for."""

    OPEN = "open"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"


class Upload(BaseModel):
    """The intent to store an object, written before the first byte: whatever dies, the sweep finds here which key to clear.

    `size` bytes are reserved in the quota until it ends. Streams push `expires_at` forward while they live. `weighed_at`: when the sweep has
    last added up the parts in the store.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="uploads")
    kind = models.CharField(max_length=10, choices=UploadKind)
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.OPEN)
    path = models.CharField(max_length=PATH_LENGTH, null=True, db_collation="C")  # noqa: DJ001
    key = models.CharField(max_length=KEY_LENGTH, unique=True, db_collation="C")
    content_type = models.CharField(max_length=CONTENT_TYPE_LENGTH)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, default="")
    overwrite = models.BooleanField(default=False)
    is_directory_archive = models.BooleanField(default=False)
    store_id = models.CharField(max_length=300, blank=True, default="")
    part_size = models.PositiveBigIntegerField(default=0)
    weighed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    result = models.ForeignKey(StoredObject, on_delete=models.SET_NULL, null=True, related_name="+")
    problem = models.JSONField(null=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")

    objects = UploadQuerySet.as_manager()

    class Meta:
        verbose_name = "upload"
        indexes = [
            models.Index(fields=["project", "state"], name="upload_project"),
            models.Index(fields=["expires_at"], name="upload_end"),
            models.Index(fields=["weighed_at"], condition=Q(state="open", kind="multipart"), name="upload_weighed"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} upload {self.pk}"


class DiscardedKey(models.Model):
    """A key whose bytes nobody refers to any more; a worker removes them from `due_at` on and then the row.

    With `again_at`, bytes may still come after that: somebody who was given up for dead writes them. They are removed a second time then.
    With `signed_until`, anyone who holds an address can bring them until then, and again: they are removed over and over up to `again_at`.
    """

    key = models.CharField(max_length=KEY_LENGTH, primary_key=True, db_collation="C")
    due_at = models.DateTimeField()
    again_at = models.DateTimeField(null=True)
    signed_until = models.DateTimeField(null=True)
    store_id = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        verbose_name = "discarded key"
        indexes = [
            models.Index(fields=["due_at"], name="discarded_due"),
            models.Index(fields=["key"], condition=Q(signed_until__isnull=False), name="discarded_signed"),
        ]

    def __str__(self) -> str:
        return self.key
