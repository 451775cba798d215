"""Clearing up: what was given up, what has expired, and the bytes that nobody refers to any more.

Everything to do is a row with a due time, so a sweep that dies loses nothing. Workers that sweep together skip each other's rows. What the
store refuses stays noted and is tried again after RETRY.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from controlplane.common.clock import now
from controlplane.common.errors import SlipwayError, Unavailable
from storage.bucket import DELETED_AT_ONCE, bucket
from storage.direct import fail_upload
from storage.errors import PartsGone, parts_too_heavy
from storage.models import DiscardedKey, StoredObject, Upload, UploadKind, UploadState
from storage.space import RESERVING, add_to_space, locked_space
from storage.uploads import GRACE, LATE, SINGLE, discard, discard_upload
from storage.wakeups import send_verify

logger = logging.getLogger(__name__)

# Rows in one transaction; a step goes on while there are more and the run has time.
BATCH = 500
RUN_SECONDS = 20.0
# How long one worker has for a batch of keys, and when a key that the store refused is tried again.
RETRY = timedelta(minutes=5)
# Whoever holds an address of an ended upload can fill its key again: for so long it takes room that nobody counts.
AGAIN = timedelta(minutes=10)
# Uploads in parts that are looked at before the clock is; and how many parts, beside the whole twice, may have been sent again.
WEIGHED_TOGETHER = 20
SPARE_PARTS = 5
# An upload that could not be read for so long fails.
UNREADABLE = timedelta(days=3)


@dataclass(slots=True)
class Swept:
    """How much a sweep has done: uploads given up, sent to be verified, failed, forgotten; temporary objects deleted; keys removed."""

    abandoned: int = 0
    requeued: int = 0
    failed: int = 0
    forgotten: int = 0
    expired: int = 0
    removed: int = 0
    refused: int = 0

    def __str__(self) -> str:
        done = ", ".join(f"{count} {name}" for name, count in asdict(self).items() if count)
        return done or "nothing to do"


def sweep() -> Swept:
    """Do all that is due, for RUN_SECONDS at most. A step that fails is logged and does not stop the others."""
    swept, deadline = Swept(), time.monotonic() + RUN_SECONDS
    for step in (abandon_expired_uploads, requeue_uploads, delete_expired_objects, forget_ended_uploads, remove_keys, weigh_parts):
        try:
            while step(swept) and time.monotonic() < deadline:
                pass
        except SlipwayError as error:
            logger.warning("sweep: %s: %s", step.__name__, error)
        except Exception:
            logger.exception("sweep: %s failed, next try with the next sweep", step.__name__)
    if any(asdict(swept).values()):
        logger.info("sweep: %s", swept)
    return swept


def abandon_expired_uploads(swept: Swept) -> bool:
    """Give up uploads that showed no sign of life, and direct ones whose addresses have ended."""
    with transaction.atomic():
        rows = Upload.objects.select_for_update(skip_locked=True).filter(state=UploadState.OPEN, expires_at__lte=now())
        uploads = list(rows.order_by("expires_at")[:BATCH])
        for upload in uploads:
            discard_upload(upload)
        Upload.objects.filter(pk__in=[upload.pk for upload in uploads]).delete()
    swept.abandoned += len(uploads)
    return len(uploads) == BATCH


def requeue_uploads(swept: Swept) -> bool:
    """Send uploads to a worker again whose own has died; fail those that could not be read for days."""
    waiting = Upload.objects.filter(state=UploadState.VERIFYING, expires_at__lte=now())
    for upload in waiting.order_by("expires_at")[:BATCH]:
        if upload.updated_at < now() - UNREADABLE:
            swept.failed += fail_upload(upload, Unavailable("not_verified", "What arrived could not be read for days. Send it again."))
        else:
            send_verify(upload.pk)
            swept.requeued += 1
    return False


def delete_expired_objects(swept: Swept) -> bool:
    """Delete temporary objects whose time is over, project by project; who reads one now gets to the end."""
    expired = StoredObject.objects.filter(expires_at__lte=now())
    projects = list(dict.fromkeys(expired.order_by("expires_at").values_list("project_id", flat=True)[:BATCH]))
    for project_id in projects:
        swept.expired += delete_expired_of(project_id)
    return bool(projects)


def delete_expired_of(project_id: UUID) -> int:
    """Delete up to BATCH expired objects of one project and return how many."""
    with transaction.atomic():
        locked_space(project_id)
        rows = StoredObject.objects.filter(project_id=project_id, expires_at__lte=now()).order_by("expires_at")
        found = list(rows.values_list("pk", "key", "size")[:BATCH])
        StoredObject.objects.filter(pk__in=[pk for pk, _, _ in found]).delete()
        discard((key for _, key, _ in found), after=GRACE)
        add_to_space(project_id, count=-len(found), size=-sum(size for _, _, size in found), temporary=True)
    return len(found)


def forget_ended_uploads(swept: Swept) -> bool:
    """Delete the rows of uploads that ended a day ago."""
    with transaction.atomic():
        rows = Upload.objects.select_for_update(skip_locked=True).exclude(state__in=RESERVING).filter(expires_at__lte=now())
        ended = [upload.pk for upload in rows.order_by("expires_at")[:BATCH]]
        Upload.objects.filter(pk__in=ended).delete()
    swept.forgotten += len(ended)
    return len(ended) == BATCH


def remove_keys(swept: Swept) -> bool:
    """Remove the bytes of keys that are due. Raises `Unavailable` when the store does not answer; what is not done is tried again."""
    rows = take_keys()
    if not rows:
        return False
    deadline = time.monotonic() + RUN_SECONDS
    in_parts = [row for row in rows if row.again_at is not None and row.signed_until is None]
    refused = {row.key for row in in_parts if time.monotonic() > deadline or not drop_parts(row)}
    refused |= set(bucket().delete([row.key for row in rows if row.key not in refused]))
    for key in refused:
        logger.warning("sweep: %s is not removed yet, next try in %s", key, RETRY)
    settle_keys([row for row in rows if row.key not in refused])
    swept.removed += len(rows) - len(refused)
    swept.refused += len(refused)
    return len(rows) == DELETED_AT_ONCE


def take_keys() -> list[DiscardedKey]:
    """Take keys that are due from other sweeps for RETRY. One that something refers to is never removed: it is struck off the list."""
    with transaction.atomic():
        due = DiscardedKey.objects.select_for_update(skip_locked=True).filter(due_at__lte=now())
        rows = {row.key: row for row in due.order_by("due_at")[:DELETED_AT_ONCE]}
        stored = StoredObject.objects.filter(key__in=rows).values_list("key", flat=True)
        arriving = Upload.objects.filter(key__in=rows, state__in=RESERVING).values_list("key", flat=True)
        for key in {*stored, *arriving}:
            logger.error("sweep: %s was to be removed, but is in use; it stays", key)
            rows.pop(key).delete()
        # The signed address of a finished upload may still be good: it could bring the bytes back.
        for upload in Upload.objects.filter(key__in=rows, state=UploadState.DONE):
            row = rows[upload.key]
            row.again_at = row.again_at or upload.expires_at + LATE
            row.signed_until = row.signed_until or (upload.expires_at if upload.kind in SINGLE else None)
        for row in rows.values():
            row.due_at = now() + RETRY
        DiscardedKey.objects.bulk_update(rows.values(), ["due_at", "again_at", "signed_until"], batch_size=BATCH)
    return list(rows.values())


def drop_parts(row: DiscardedKey) -> bool:
    """Drop the parts of a key that comes from an upload; False if the store refuses."""
    try:
        # The id of parts that were begun may never have been written down.
        ids = {store_id for key, store_id, _ in bucket().unjoined(row.key) if key == row.key}
        for store_id in ids | ({row.store_id} if row.store_id else set()):
            bucket().drop_parts(row.key, store_id)
    except SlipwayError as error:
        logger.warning("sweep: parts of %s: %s", row.key, error)
        return False
    return True


def settle_keys(rows: list[DiscardedKey]) -> None:
    """Forget keys that are removed, or note the next removal."""
    keys = [row.key for row in rows]
    with transaction.atomic():
        # As they are now: a project that was deleted meanwhile may have told of addresses. Locked in the order in which keys are noted.
        noted = {row.key: row for row in DiscardedKey.objects.select_for_update().filter(key__in=keys).order_by("key")}
        later = [row for row in noted.values() if row.again_at is not None and row.again_at > now()]
        for row in later:
            row.due_at = next_removal(row)
        DiscardedKey.objects.bulk_update(later, ["due_at"], batch_size=BATCH)
        DiscardedKey.objects.filter(key__in=noted.keys() - {row.key for row in later}).delete()


def next_removal(row: DiscardedKey) -> datetime:
    """Return when a key is removed again that somebody may still write to."""
    last = row.again_at or now()
    return last if row.signed_until is None else min(last, now() + AGAIN)


def weigh_parts(swept: Swept) -> bool:
    """Fail uploads whose parts were sent again so often that they take far more than what is reserved: stores may keep each version."""
    uploads = take_unweighed()
    for upload in uploads:
        try:
            stored = bucket().weigh_parts(upload.key, upload.store_id)
        except PartsGone:
            continue
        most = 2 * upload.size + SPARE_PARTS * upload.part_size
        if stored is None or stored > most:
            swept.failed += fail_upload(upload, parts_too_heavy(most, upload.size))
    return len(uploads) == WEIGHED_TOGETHER


def take_unweighed() -> list[Upload]:
    """Take open uploads in parts that nobody has weighed for AGAIN."""
    in_parts = Upload.objects.filter(state=UploadState.OPEN, kind=UploadKind.MULTIPART).exclude(store_id="")
    due = in_parts.filter(Q(weighed_at=None) | Q(weighed_at__lte=now() - AGAIN))
    with transaction.atomic():
        rows = due.select_for_update(skip_locked=True).order_by(F("weighed_at").asc(nulls_first=True))
        uploads = list(rows[:WEIGHED_TOGETHER])
        Upload.objects.filter(pk__in=[upload.pk for upload in uploads]).update(weighed_at=now())
    return uploads
