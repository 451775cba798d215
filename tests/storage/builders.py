"""What tests of the storage need: projects with callers, stored files, and what is really in the bucket."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from rest_framework.test import APIClient

from controlplane.accounts.keys import endpoint_token
from controlplane.accounts.models import User
from controlplane.common.clock import now
from controlplane.common.objectstore import object_store
from controlplane.projects.models import Project
from storage.access import StorageAccess
from storage.bucket import bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload
from storage.services import store_stream
from storage.uploads import Wanted

BOUNDARY = "5f0e2b9d4c11"


def access_to(project: Project, user: User | None = None, *, may_write: bool = True) -> StorageAccess:
    """Return what a storage token of the project allows."""
    owner = user or project.namespace.owner
    assert owner is not None
    return StorageAccess(owner.pk, project.pk, may_write=may_write)


def store_file(access: StorageAccess, data: bytes, path: str | None = None, content_type: str = "application/octet-stream") -> StoredObject:
    """Store bytes as an upload does, bucket included."""
    object_store().ensure_bucket()
    wanted = Wanted(path=path, content_type=content_type, overwrite=True)
    return store_stream(access, wanted, iter([data] if data else []), to_come=lambda: 0, after=lambda: wanted)


def form(data: bytes | None, *, content_type: str | None = "application/octet-stream", fields: dict[str, str] | None = None) -> bytes:
    """Return a multipart body as the public client writes it: the file has no filename, fields come first."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in (fields or {}).items()]
    head = "".join(parts).encode()
    if data is None:
        return head + f"--{BOUNDARY}--\r\n".encode()
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n{kind}\r\n'.encode()
    return head + data + f"\r\n--{BOUNDARY}--\r\n".encode()


class Clock:
    """The present time and what it was put forward by."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the moment as the storage sees it."""
        return now() + self.ahead

    def advance(self, **by: float) -> None:
        """Put it forward: `advance(hours=2)`."""
        self.ahead += timedelta(**by)


class StorageCaller(APIClient):
    """A client with a storage token: `put_file` sends forms as the public client does."""

    def __init__(self, user: User, project_id: UUID, *, storage: bool | str = True) -> None:
        super().__init__()
        self.credentials(HTTP_AUTHORIZATION=f"Bearer {endpoint_token(user=user, project_id=project_id, storage=storage)}")

    def send_file(self, path: str, data: bytes | None, *, method: str = "POST", **options: Any) -> Any:
        """Upload to a path ("" for a temporary object)."""
        body: Any = form(data, **options)
        return self.generic(method, f"/v1/objects/{path}", body, content_type=f"multipart/form-data; boundary={BOUNDARY}")


def traces() -> dict[str, Any]:
    """Return everything that the storage holds, in the database and in the bucket, to compare before and after."""
    return {
        "objects": sorted(StoredObject.objects.values_list("pk", "path", "key", "size", "sha256")),
        "uploads": sorted(Upload.objects.values_list("pk", "state")),
        "spaces": sorted(Space.objects.exclude(count=0).values_list("pk", "count", "used_bytes", "temporary_count", "temporary_bytes")),
        "keys": keys_in_bucket(),
        "parts": sorted(key for key, _, _ in bucket().unjoined("objects/")),
    }


def keys_in_bucket() -> list[str]:
    """Return all keys of objects, without those that only wait for their removal."""
    waiting = set(DiscardedKey.objects.values_list("key", flat=True))
    return [held.key for held in bucket().walk("objects/") if held.key not in waiting]
