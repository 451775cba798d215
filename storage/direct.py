"""Direct uploads: clients send the bytes to the object store themselves, at addresses that are signed for just these bytes.

A presigned PUT or POST fits nothing but the announced size, type and SHA-256, so what comes after `complete` can only be the same bytes
again. The addresses of parts are void once the parts are joined. The store's word is taken for a hash over the whole object that it has
checked; what comes in parts is read once more by a worker (storage/verify.py).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from controlplane.common.clock import now
from controlplane.common.errors import Conflict, InvalidInput, NotFound, SlipwayError, TooLarge
from storage.access import StorageAccess
from storage.bucket import Held, Part, bucket, public_bucket
from storage.errors import (
    PartsGone,
    WrongSize,
    no_upload,
    not_reachable,
    nothing_arrived,
    parts_gone,
    too_many_addresses,
    too_many_uploads,
    unchecked_hash,
    upload_done,
    upload_gone,
    wrong_size,
)
from storage.models import DiscardedKey, Upload, UploadKind, UploadState
from storage.parts import choose_parts, count_parts, part_size_for, size_of_part
from storage.services import give_up
from storage.space import RESERVING
from storage.uploads import KEPT, Wanted, abandon_upload, begin_upload, discard_upload, finish_upload, keys_of
from storage.wakeups import remove_soon, verify_soon

# What S3 takes in one request, and at all.
LARGEST_SINGLE = 5 * 1024**3
LARGEST = 5 * 1024**4
MOST_AT_ONCE = 1000
# With those that were aborted, or whose object is deleted, as long as their addresses are good: the sweep empties each over and over.
MOST_SIGNED = 10_000
# Signature version 4 allows no more.
LONGEST_LIFE = timedelta(days=7)
REFUSALS = (Conflict, InvalidInput, TooLarge)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that the store takes from anyone: `headers` of a PUT, `fields` of a form that is posted with the file last."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedPart:
    """Where one part of `size` bytes is PUT."""

    number: int
    size: int
    url: str


def begin_direct_upload(access: StorageAccess, wanted: Wanted, *, kind: UploadKind) -> Upload:
    """Reserve the room for an upload that goes to the store itself. Raises as `begin_upload`, and `Unavailable`; then nothing stays."""
    access.check_may_write()
    if not public_bucket().is_reachable:
        raise not_reachable()
    check_announced(wanted, kind)
    check_count(access)
    upload = begin_upload(access, wanted, kind=kind, life=min(settings.STORAGE_DIRECT_LIFE, LONGEST_LIFE))
    if kind is UploadKind.MULTIPART:
        try:
            begin_parts(upload)
        except BaseException:
            give_up(upload)
            raise
    return upload


def check_count(access: StorageAccess) -> None:
    """Raise `Conflict` while the project has as many uploads, or addresses of such as have ended, as it may."""
    under_way = Upload.objects.visible_to(access).filter(state__in=RESERVING).count()
    if under_way >= MOST_AT_ONCE:
        raise too_many_uploads(MOST_AT_ONCE)
    ended = DiscardedKey.objects.filter(key__startswith=keys_of(access.project_id), signed_until__gt=now())
    if under_way + ended.count() >= MOST_SIGNED:
        raise too_many_addresses(MOST_SIGNED)


def check_announced(wanted: Wanted, kind: UploadKind) -> None:
    """Raise `InvalidInput` for what cannot be sent this way."""
    if kind is UploadKind.MULTIPART:
        return
    if not wanted.sha256:
        raise InvalidInput(
            "sha256",
            "A single PUT or POST needs the SHA-256 of the bytes beforehand; 'multipart' does not.",
            fields={"sha256": ["missing"]},
        )
    if wanted.size > LARGEST_SINGLE:
        raise InvalidInput(
            "size", "A single PUT or POST takes 5 GiB at most. Use the method 'multipart'.", fields={"size": [f"over {LARGEST_SINGLE}"]}
        )


def begin_parts(upload: Upload) -> None:
    """Let the store begin an object of parts. Raises `Conflict` when the upload was given up meanwhile."""
    upload.store_id, upload.part_size = bucket().begin_parts(upload.key, upload.content_type), part_size_for(upload.size)
    held = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN)
    if not held.update(store_id=upload.store_id, part_size=upload.part_size):
        bucket().drop_parts(upload.key, upload.store_id)
        raise upload_gone()


def signed_request(upload: Upload) -> SignedRequest | None:
    """Return the one request that stores the upload's bytes; None for one in parts."""
    checksum = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
    headers = {"Content-Type": upload.content_type, "x-amz-checksum-sha256": checksum}
    if upload.kind == UploadKind.PUT:
        pinned = {"ContentType": upload.content_type, "ContentLength": upload.size, "ChecksumSHA256": checksum}
        url = public_bucket().sign("put_object", {"Key": upload.key, **pinned}, seconds_left(upload))
        return SignedRequest("PUT", url, headers=headers)
    if upload.kind == UploadKind.POST:
        fields = {**headers, "x-amz-checksum-algorithm": "SHA256"}
        conditions = [*({name: value} for name, value in fields.items()), ["content-length-range", upload.size, upload.size]]
        form = public_bucket().sign_form(upload.key, dict(fields), conditions, seconds_left(upload))
        return SignedRequest("POST", form["url"], fields=form["fields"])
    return None


def signed_parts(upload: Upload, numbers: Sequence[int]) -> list[SignedPart]:
    """Return where parts are PUT, each of exactly its size. Raises `InvalidInput` for numbers that it has not, `Conflict` when it is over."""
    if upload.kind != UploadKind.MULTIPART or upload.state != UploadState.OPEN:
        raise Conflict("not_open", f"This upload takes no parts: its method is '{upload.kind}', its state '{upload.state}'.")
    count, seconds = count_parts(upload), seconds_left(upload)
    if wrong := [number for number in numbers if not 1 <= number <= count]:
        raise InvalidInput("numbers", f"This upload has the parts 1 to {count}.", fields={"numbers": [f"no part {wrong[0]}"]})
    signed = []
    for number in numbers:
        size = size_of_part(upload, number)
        pinned = {"Key": upload.key, "UploadId": upload.store_id, "PartNumber": number, "ContentLength": size}
        signed.append(SignedPart(number, size, public_bucket().sign("upload_part", pinned, seconds)))
    return signed


def seconds_left(upload: Upload) -> int:
    """Return for how long addresses can be signed. Raises `Conflict` when the upload has expired."""
    seconds = int((upload.expires_at - now()).total_seconds())
    if seconds < 1:
        raise upload_gone()
    return seconds


def direct_upload(access: StorageAccess, upload_id: UUID) -> Upload:
    """Return a direct upload of the token's project. Raises `NotFound`."""
    upload = Upload.objects.visible_to(access).select_related("result").filter(pk=upload_id).first()
    if upload is None:
        raise no_upload()
    return upload


def writable_upload(access: StorageAccess, upload_id: UUID) -> Upload:
    """Return a direct upload for who may change it. Raises `PermissionDenied`, `NotFound`."""
    access.check_may_write()
    return direct_upload(access, upload_id)


def received_parts(upload: Upload) -> list[Part]:
    """Return the parts that an open upload has in the store, so that its sender can resume. Raises `Unavailable`."""
    if upload.kind != UploadKind.MULTIPART or upload.state != UploadState.OPEN:
        return []
    try:
        return bucket().parts(upload.key, upload.store_id)
    except PartsGone:
        return []


def complete_upload(access: StorageAccess, upload_id: UUID, told: Sequence[Part] | None = None) -> Upload:
    """Make the object of what has arrived, or have it verified first; returns the upload, DONE or VERIFYING. Safe to repeat.

    `told`: the parts by number and etag, all that have arrived if None. Raises `Conflict` and `InvalidInput` for what can be mended (the
    upload stays open), the same and `TooLarge` for what cannot (it has then failed, and stores nothing), `Unavailable`.
    """
    upload = writable_upload(access, upload_id)
    if upload.state == UploadState.OPEN:
        if upload.kind == UploadKind.MULTIPART:
            complete_parts(upload, told)
        else:
            complete_single(upload)
        upload = direct_upload(access, upload_id)
    if upload.state == UploadState.FAILED:
        problem = upload.problem or {}
        raise Conflict(problem.get("code", "failed"), problem.get("detail", "This upload has failed."))
    return upload


def complete_single(upload: Upload) -> None:
    """Finish what was PUT or posted, if the store has checked its hash."""
    try:
        held = bucket().look(upload.key)
    except NotFound:
        raise nothing_arrived() from None
    try:
        if held.size == upload.size and not held.sha256:
            raise unchecked_hash()
        finish_upload(upload, size=held.size, sha256=held.sha256)
    except REFUSALS as error:
        # Unless another call has finished it meanwhile.
        if fail_upload(upload, error):
            raise


def complete_parts(upload: Upload, told: Sequence[Part] | None) -> None:
    """Join the parts and hand the object to a worker, which reads it."""
    try:
        held = joined_parts(upload, told)
        if held.size != upload.size:
            raise wrong_size(upload.size, held.size)
    except (PartsGone, WrongSize) as error:
        if fail_upload(upload, error):
            raise
        return
    with transaction.atomic():
        # Due at once: `expires_at` of an upload that is verified is the end of a worker's lease.
        moment = now()
        rows = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN)
        if rows.update(state=UploadState.VERIFYING, expires_at=moment, updated_at=moment):
            verify_soon(upload.pk)


def joined_parts(upload: Upload, told: Sequence[Part] | None) -> Held:
    """Return the object that the parts make. Raises as `choose_parts`, and `PartsGone` when the store has neither them nor the object."""
    refusal: SlipwayError = parts_gone()
    try:
        bucket().join_parts(upload.key, upload.store_id, choose_parts(upload, bucket().parts(upload.key, upload.store_id), told))
    except SlipwayError as error:
        # A call that broke off has joined them, or one beside this just does: parts vanish one by one once the object is there.
        refusal = error
    try:
        return bucket().look(upload.key)
    except NotFound:
        raise refusal from None


def fail_upload(upload: Upload, error: SlipwayError) -> bool:
    """Keep why an upload stores nothing, discard its key and give its room back; False when it had ended before."""
    with transaction.atomic():
        rows = Upload.objects.filter(pk=upload.pk, state__in=RESERVING)
        problem = {"code": error.code, "detail": error.detail}
        if not rows.update(state=UploadState.FAILED, problem=problem, expires_at=now() + KEPT, updated_at=now()):
            return False
        discard_upload(upload)
        remove_soon()
    return True


def abort_upload(access: StorageAccess, upload_id: UUID) -> None:
    """Forget an upload: parts and bytes are dropped, its room is given back. Raises `NotFound`, `Conflict` when it is stored."""
    upload = writable_upload(access, upload_id)
    with transaction.atomic():
        if not abandon_upload(upload):
            Upload.objects.filter(pk=upload.pk, state=UploadState.FAILED).delete()
        remove_soon()
    if Upload.objects.filter(pk=upload.pk).exists():
        raise upload_done()
