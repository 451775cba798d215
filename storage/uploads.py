"""The life of an upload in the database: the intent before the first byte, one transaction that makes the object, or giving up.

Whatever dies in between leaves either an upload that expires (the sweep clears its key) or an object that is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from psycopg import Error as DatabaseError

from controlplane.common.clock import now
from controlplane.common.ids import uuid7
from storage.access import StorageAccess
from storage.errors import path_exists, upload_gone, wrong_hash, wrong_size
from storage.models import ONE_AT_A_PATH, DiscardedKey, StoredObject, Upload, UploadKind, UploadState
from storage.paths import checked_path
from storage.space import RESERVING, add_to_space, check_room, locked_space

PREFIX = "objects/"
# Readers of an object that is overwritten get to their end.
GRACE = timedelta(minutes=15)
# A finished direct upload can be asked for this long.
KEPT = timedelta(hours=24)
# Whoever was given up for dead, or held an address that ended, has written its last byte by then.
LATE = timedelta(hours=24)
# Addresses of these stay good when the upload has ended; those of parts end with it.
SINGLE = (UploadKind.PUT, UploadKind.POST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be stored where. `size` (bytes) and `sha256` as far as they are known beforehand; no path: a temporary object."""

    path: str | None
    content_type: str
    overwrite: bool = False
    is_directory_archive: bool = False
    size: int = 0
    sha256: str = ""


def new_key(project_id: UUID) -> str:
    """Return a key that was never used: keys hold no names of people, so no path can escape."""
    return f"{keys_of(project_id)}{uuid7().hex}"


def keys_of(project_id: UUID) -> str:
    """Return how all keys of a project begin."""
    return f"{PREFIX}{project_id.hex}/"


def begin_upload(access: StorageAccess, wanted: Wanted, *, kind: UploadKind, life: timedelta) -> Upload:
    """Write the intent and reserve its room. Raises `InvalidInput`, `PermissionDenied`, `Conflict` (path taken), `TooLarge` (no room)."""
    access.check_may_write()
    path = None if wanted.path is None else checked_path(wanted.path)
    with transaction.atomic():
        space = locked_space(access.project_id)
        replaced = object_at(access.project_id, path)
        if replaced is not None and path is not None and not wanted.overwrite:
            raise path_exists(path)
        check_room(space, size=wanted.size, replaced=replaced)
        return Upload.objects.create(
            project_id=access.project_id,
            created_by_id=access.user_id,
            kind=kind,
            path=path,
            key=new_key(access.project_id),
            content_type=wanted.content_type,
            overwrite=wanted.overwrite,
            is_directory_archive=wanted.is_directory_archive,
            size=wanted.size,
            sha256=wanted.sha256,
            expires_at=now() + life,
        )


def keep_alive(upload: Upload, *, life: timedelta, size: int = 0) -> None:
    """Say that an upload still runs, and reserve what it has grown to (bytes). Raises `Conflict` when it was given up, `TooLarge`."""
    with transaction.atomic():
        if size > upload.size:
            space = locked_space(upload.project_id)
            check_room(space, size=size, replaced=object_at(upload.project_id, upload.path), upload_id=upload.pk)
            upload.size = size
        held = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN)
        if not held.update(expires_at=now() + life, size=upload.size):
            raise upload_gone()


def finish_upload(upload: Upload, *, size: int, sha256: str) -> StoredObject:
    """Make the object of an upload whose bytes lie under its key. Raises what forbids it; the upload is then still there, to be abandoned.

    `Conflict`: given up meanwhile, or the path was taken; `TooLarge`: no room; `InvalidInput`: not the bytes that were announced.
    """
    check_bytes(upload, size=size, sha256=sha256)
    try:
        with transaction.atomic():
            space = locked_space(upload.project_id)
            held = Upload.objects.select_for_update().filter(pk=upload.pk, state__in=RESERVING).first()
            if held is None:
                raise upload_gone()
            replaced = object_at(upload.project_id, upload.path)
            if replaced is not None and upload.path is not None and not upload.overwrite:
                raise path_exists(upload.path)
            check_room(space, size=size, replaced=replaced, upload_id=upload.pk)
            stored = put_in_place(upload, replaced, size=size, sha256=sha256)
            close_upload(held, stored)
            return stored
    except IntegrityError as error:
        if violated_by(error) != ONE_AT_A_PATH:
            raise
        raise path_exists(upload.path or "") from error


def violated_by(error: IntegrityError) -> str | None:
    """Return the name of the constraint that a statement would have broken."""
    return error.__cause__.diag.constraint_name if isinstance(error.__cause__, DatabaseError) else None


def check_bytes(upload: Upload, *, size: int, sha256: str) -> None:
    """Raise `InvalidInput` unless these are the bytes that were announced (of a stream, only the hash may have been)."""
    if upload.kind not in (UploadKind.STREAM, UploadKind.COPY) and size != upload.size:
        raise wrong_size(upload.size, size)
    if upload.sha256 and sha256 != upload.sha256:
        raise wrong_hash(upload.sha256, sha256)


def put_in_place(upload: Upload, replaced: StoredObject | None, *, size: int, sha256: str) -> StoredObject:
    """Write the object's row, in place of the one that it replaces, whose uid it keeps."""
    if replaced is not None:
        discard([replaced.key], after=GRACE)
        add_to_space(upload.project_id, count=-1, size=-replaced.size, temporary=False)
    stored = replaced or StoredObject(project_id=upload.project_id, path=upload.path)
    stored.key, stored.size, stored.sha256, stored.content_type = upload.key, size, sha256, upload.content_type
    stored.is_directory_archive, stored.created_by_id = upload.is_directory_archive, upload.created_by_id
    stored.expires_at = now() + settings.STORAGE_TEMPORARY_LIFE if upload.path is None else None
    stored.save()
    add_to_space(upload.project_id, count=1, size=size, temporary=upload.path is None)
    return stored


def close_upload(upload: Upload, stored: StoredObject) -> None:
    """Forget a stream; keep what a direct upload came to for who asks again."""
    if upload.kind in (UploadKind.STREAM, UploadKind.COPY):
        upload.delete()
        return
    # Not before its signed addresses end: the sweep must know of them when the object is deleted.
    upload.state, upload.result, upload.expires_at = UploadState.DONE, stored, max(upload.expires_at, now() + KEPT)
    upload.save(update_fields=["state", "result", "expires_at", "updated_at"])


def abandon_upload(upload: Upload) -> bool:
    """Forget an upload that made no object and discard its key; False when it is finished, or somebody else did so before."""
    with transaction.atomic():
        gone, _ = Upload.objects.filter(pk=upload.pk, state__in=RESERVING).delete()
        if gone:
            discard_upload(upload)
    return bool(gone)


def discard_upload(upload: Upload) -> None:
    """Discard the key of an upload that ends without an object; what its sender may still write to it goes again, later."""
    due = now()
    signed_until = upload.expires_at if upload.kind in SINGLE else None
    again_at = max(upload.expires_at, due) + LATE
    row = DiscardedKey(key=upload.key, due_at=due, again_at=again_at, signed_until=signed_until, store_id=upload.store_id)
    # The object of an upload that was done may have been deleted just before, without a word of its address.
    changed = ["again_at", "signed_until", "store_id"]
    DiscardedKey.objects.bulk_create([row], update_conflicts=True, update_fields=changed, unique_fields=["key"])


def discard(keys: Iterable[str], *, after: timedelta = timedelta(0)) -> None:
    """Note in the present transaction that nobody refers to these keys any more; their bytes go `after` that time.

    In the order of the keys: two that note the same ones wait for each other, never both.
    """
    due = now() + after
    rows = [DiscardedKey(key=key, due_at=due) for key in sorted(keys)]
    DiscardedKey.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)


def object_at(project_id: UUID, path: str | None) -> StoredObject | None:
    """Return the object at a path."""
    return None if path is None else StoredObject.objects.filter(project_id=project_id, path=path).first()
