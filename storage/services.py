"""What can be done with the objects of a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from controlplane.accounts.models import User
from controlplane.common.clock import now
from controlplane.common.errors import InvalidInput
from controlplane.projects.models import Project
from controlplane.workspaces.trail import note
from storage.access import StorageAccess
from storage.bucket import bucket, public_bucket
from storage.delivery import signed_delivery_url
from storage.errors import no_object, path_exists, wrong_hash
from storage.media import disposition
from storage.models import StoredObject, Upload, UploadKind
from storage.paths import checked_path, file_name
from storage.querysets import StoredObjectQuerySet
from storage.space import add_to_space, locked_space
from storage.transfer import LIFE, Transfer
from storage.uploads import Wanted, abandon_upload, begin_upload, discard, finish_upload, object_at
from storage.wakeups import remove_soon

# A copy inside the store says nothing while it runs; 5 GiB take seconds to minutes.
COPY_LIFE = timedelta(hours=2)
# Objects deleted in one transaction, under the lock of the space.
DELETED_TOGETHER = 5000
# Signature version 4 allows no more.
LONGEST_LINK = timedelta(days=7)


def check_target(access: StorageAccess, path: str | None, *, overwrite: bool) -> None:
    """Refuse early what could not be stored, before a byte of it is read. Raises `PermissionDenied`, `InvalidInput`, `Conflict`."""
    access.check_may_write()
    if path is not None and object_at(access.project_id, checked_path(path)) is not None and not overwrite:
        raise path_exists(path)


def store_stream(
    access: StorageAccess, wanted: Wanted, chunks: Iterator[bytes], *, to_come: Callable[[], int], after: Callable[[], Wanted]
) -> StoredObject:
    """Store a file that comes in chunks, hashed on the way, in flat memory. On any failure nothing stays.

    `to_come`: how many bytes are still to come, at least; `after` is called when all bytes were read and returns what is wanted
    by then (fields of a form may follow its file). Raises as `begin_upload` and `finish_upload`, and `Unavailable`.
    """
    transfer = Transfer(
        begin=lambda size: begin_upload(access, replace(wanted, size=size), kind=UploadKind.STREAM, life=LIFE), to_come=to_come
    )
    try:
        upload = transfer.send(chunks)
        wanted = after()
        upload.is_directory_archive, upload.sha256 = wanted.is_directory_archive, wanted.sha256
        return finish_upload(upload, size=transfer.size, sha256=transfer.sha256)
    except BaseException:
        give_up(transfer.upload)
        raise


def copy_object(access: StorageAccess, source_id: UUID, *, path: str | None, overwrite: bool, sha256: str = "") -> StoredObject:
    """Copy an object of the project inside the store, with its type. `sha256`: what it must have, if not "".

    Raises `NotFound` for the source, `InvalidInput` when it has another hash, and as `begin_upload`.
    """
    source = visible_object(access, source_id)
    if sha256 and sha256 != source.sha256:
        raise wrong_hash(sha256, source.sha256)
    wanted = Wanted(
        path=path,
        content_type=source.content_type,
        overwrite=overwrite,
        is_directory_archive=source.is_directory_archive,
        size=source.size,
        sha256=source.sha256,
    )
    upload = begin_upload(access, wanted, kind=UploadKind.COPY, life=COPY_LIFE)
    try:
        bucket().copy(source.key, upload.key, source.content_type)
        return finish_upload(upload, size=source.size, sha256=source.sha256)
    except BaseException:
        give_up(upload)
        raise


def give_up(upload: Upload | None) -> None:
    """Forget an upload that failed, and its bytes."""
    if upload is not None and abandon_upload(upload):
        remove_soon()


def delete_objects(access: StorageAccess, path: str, *, exact: bool) -> int:
    """Delete the object at a path and, unless `exact`, all below it as a folder; returns how many. Raises `NotFound` when there is none."""
    rows = StoredObject.objects.visible_to(access)
    found = delete_rows(access, rows.filter(path=path) if exact else rows.in_folder(path), what=path, together=not exact)
    if not found:
        raise no_object(f"at '{path}'" if exact else f"at '{path}' or below it")
    return found


def delete_object(access: StorageAccess, object_id: UUID) -> None:
    """Delete one object, with a path or without. Raises `NotFound`."""
    if not delete_rows(access, StoredObject.objects.visible_to(access).filter(pk=object_id), what=str(object_id)):
        raise no_object(f"with the uid {object_id}")


def delete_everything(access: StorageAccess) -> int:
    """Empty the project's storage and return how many objects it held."""
    return delete_rows(access, StoredObject.objects.visible_to(access), what="", together=True)


def delete_rows(access: StorageAccess, rows: StoredObjectQuerySet, *, what: str, together: bool = False) -> int:
    """Delete objects, DELETED_TOGETHER in each transaction, and discard their keys; what was deleted together is told to the audit log."""
    access.check_may_write()
    count, is_done = 0, False
    while not is_done:
        with transaction.atomic():
            found, last = delete_batch(access, rows)
            count, is_done = count + found, found < DELETED_TOGETHER
            if is_done and together and count:
                note_deletion(access, what, count)
            remove_soon()
        # Objects stored meanwhile come last: ids rise with time.
        rows = rows.filter(pk__gt=last) if last else rows
    return count


def delete_batch(access: StorageAccess, rows: StoredObjectQuerySet) -> tuple[int, UUID | None]:
    """Delete the oldest of these objects in the present transaction; returns how many, and the last of them."""
    locked_space(access.project_id)
    found = list(rows.order_by("pk").values_list("pk", "key", "size", "expires_at")[:DELETED_TOGETHER])
    StoredObject.objects.filter(pk__in=[row[0] for row in found]).delete()
    discard(key for _, key, _, _ in found)
    for temporary in (False, True):
        sizes = [size for _, _, size, end in found if (end is not None) is temporary]
        add_to_space(access.project_id, count=-len(sizes), size=-sum(sizes), temporary=temporary)
    return len(found), found[-1][0] if found else None


def note_deletion(access: StorageAccess, what: str, count: int) -> None:
    """Tell the audit log how many objects were deleted together."""
    project = Project.objects.select_related("namespace").get(pk=access.project_id)
    actor = User.objects.filter(pk=access.user_id).first()
    note(actor, "storage.delete", project, workspace=project.workspace_id, path=what, objects=count)


def presign_download(access: StorageAccess, object_id: UUID, *, expire_at: datetime) -> str:
    """Return an address at which anyone gets the object until then, from the object store itself. Raises `NotFound`, `InvalidInput`.

    It is for the bytes as they are now: overwriting or deleting the object ends it.
    """
    stored = visible_object(access, object_id)
    seconds = int((expire_at - now()).total_seconds())
    if seconds < 1:
        raise InvalidInput("expire_at", "This moment has passed. Give a later one.", fields={"expire_at": ["is in the past"]})
    if seconds > LONGEST_LINK.total_seconds():
        raise InvalidInput(
            "expire_at", "A link lives 7 days at most. Give an earlier moment.", fields={"expire_at": ["more than 7 days away"]}
        )
    if not public_bucket().is_reachable:
        return signed_delivery_url(stored, expire_at)
    named = disposition(stored.content_type, file_name(stored.path) or str(stored.pk))
    told = {"ResponseContentType": stored.content_type, "ResponseContentDisposition": named}
    # Who sends bytes to a signed address may tell the store of an encoding: browsers would undo it.
    return public_bucket().sign("get_object", {"Key": stored.key, "ResponseContentEncoding": "identity", **told}, seconds)


def visible_object(access: StorageAccess, object_id: UUID) -> StoredObject:
    """Return an object of the token's project. Raises `NotFound`."""
    stored = StoredObject.objects.visible_to(access).filter(pk=object_id).first()
    if stored is None:
        raise no_object(f"with the uid {object_id}")
    return stored
