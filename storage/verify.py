"""Reading what arrived in parts once more: its hash is compared with the announced one, or filled in; then it becomes an object.

A worker holds an upload for LEASE at a time (`expires_at`). Who dies loses it to the next, which begin by beat; two that read the same
bytes come to the same end, and only one of them finishes (the row's state, under the lock of the space).
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from controlplane.common.clock import now
from controlplane.common.errors import NotFound, SlipwayError, Unavailable
from storage.bucket import bucket
from storage.delivery import Span, stream_of
from storage.direct import REFUSALS, fail_upload
from storage.errors import parts_gone, upload_gone
from storage.models import StoredObject, Upload, UploadState
from storage.uploads import finish_upload

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
BEAT_SECONDS = 15.0
# In one worker process: deployments must not wait until large files are read.
AT_ONCE = 2
IN_A_ROW_SECONDS = 60.0

_running = threading.BoundedSemaphore(AT_ONCE)


def verify_waiting(first: UUID) -> int:
    """Verify an upload and, for a while, others that wait; returns how many. Does nothing while enough of that runs here."""
    if not _running.acquire(blocking=False):
        return 0
    try:
        verified, deadline = 0, time.monotonic() + IN_A_ROW_SECONDS
        upload = take_upload(first) or take_upload()
        while upload is not None:
            verify_upload(upload)
            verified += 1
            upload = take_upload() if time.monotonic() < deadline else None
        return verified
    finally:
        _running.release()


def take_upload(pk: UUID | None = None) -> Upload | None:
    """Take an upload that nobody verifies, this one or the one that waits longest."""
    rows = Upload.objects.select_for_update(skip_locked=True).filter(state=UploadState.VERIFYING, expires_at__lte=now())
    if pk is not None:
        rows = rows.filter(pk=pk)
    with transaction.atomic():
        upload = rows.order_by("expires_at").first()
        if upload is not None:
            upload.expires_at = now() + LEASE
            upload.save(update_fields=["expires_at"])
    return upload


def verify_upload(upload: Upload) -> None:
    """Read an upload's bytes and make its object, or keep why it has failed. A store that is away leaves it to the next lease."""
    try:
        size = bucket().look(upload.key).size
        finish_upload(upload, size=size, sha256=hash_of(upload, size) if size == upload.size else "")
    except NotFound:
        fail_upload(upload, parts_gone())
    except REFUSALS as error:
        fail_upload(upload, error)
    except Unavailable as error:
        logger.warning("upload %s is not verified yet: %s", upload.pk, error)


def hash_of(upload: Upload, size: int) -> str:
    """Return the SHA-256 of an upload's bytes (hexadecimal), read in flat memory. Raises `Conflict` when the upload is over meanwhile."""
    digest, last_beat = hashlib.sha256(), time.monotonic()
    try:
        for chunk in stream_of(StoredObject(key=upload.key, size=size), Span(0, size - 1)):
            digest.update(chunk)
            if time.monotonic() - last_beat > BEAT_SECONDS:
                keep_lease(upload)
                last_beat = time.monotonic()
    except SlipwayError:
        raise
    except Exception as error:
        raise Unavailable("object_store", f"Reading broke off: {error}") from error
    return digest.hexdigest()


def keep_lease(upload: Upload) -> None:
    """Hold an upload for longer. Raises `Conflict` when it is over."""
    upload.expires_at = now() + LEASE
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.VERIFYING).update(expires_at=upload.expires_at):
        raise upload_gone()
