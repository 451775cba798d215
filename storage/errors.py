"""Refusals of the storage, each said in one place."""

from __future__ import annotations

from uuid import UUID

from billing.models import Plan
from controlplane.common.errors import Conflict, InvalidInput, NotAuthenticated, NotFound, TooLarge, Unavailable

UNITS = ("bytes", "KB", "MB", "GB", "TB")


def readable_size(size: int) -> str:
    """Return a size for people, in powers of 1000: "1.5 GB"."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def path_exists(path: str) -> Conflict:
    """Return the refusal to store at a path that is taken."""
    return Conflict(
        "path_exists", f"There is an object at '{path}' already. Overwrite it with PUT, or choose another path.", fields={"path": ["taken"]}
    )


def storage_full(*, needed: int, free: int, quota: int, lifted_by: Plan | None) -> TooLarge:
    """Return the refusal for want of room (bytes), with the plan that has more."""
    more = "ask the operator for more room"
    if lifted_by is not None:
        size = "as much as this installation allows" if lifted_by.storage_bytes is None else readable_size(lifted_by.storage_bytes)
        more = f"change to the plan {lifted_by.name}, which gives each project {size}"
    return TooLarge(
        "storage_full",
        f"The project's storage has {readable_size(max(0, free))} of {readable_size(quota)} left, this needs {readable_size(needed)}. "
        f"Delete objects that are not needed, or {more}.",
        fields={"size": [f"{needed} bytes do not fit"], "limit": quota, "lifted_by": lifted_by.code if lifted_by else None},
    )


def too_many_objects(limit: int) -> TooLarge:
    """Return the refusal of yet another object."""
    return TooLarge(
        "too_many_objects", f"A project's storage holds at most {limit} objects. Delete some, or pack many small files into one archive."
    )


def no_object(what: str) -> NotFound:
    """Return the answer for an object that is not there, or not for this caller."""
    return NotFound("not_found", f"This project's storage has no object {what}.")


def bytes_lost(uid: UUID) -> NotFound:
    """Return the answer for an object that the database has and the store has not."""
    return NotFound(
        "bytes_lost", f"The bytes of the object {uid} are lost. Upload it again, and tell the operator: 'storage_check' finds such objects."
    )


def link_over() -> NotAuthenticated:
    """Return the refusal of a signed address."""
    return NotAuthenticated("link_over", "This link has ended, is not whole, or is for bytes that were replaced. Ask for a new one.")


def no_upload() -> NotFound:
    """Return the answer for an upload that is not there, or not for this caller."""
    return NotFound("not_found", "This project's storage has no such upload; it may have been aborted, or have expired.")


def upload_gone() -> Conflict:
    """Return the refusal to finish an upload that was given up for dead."""
    return Conflict(
        "upload_expired", "This upload took too long without a sign of life and was given up; nothing of it was stored. Send it again."
    )


class PartsGone(Conflict):
    """The store knows no such parts: they were joined, or dropped."""


def parts_gone() -> PartsGone:
    """Return the answer for parts that are not there any more."""
    return PartsGone("upload_expired", "The parts of this upload are not there any more; nothing of it was stored. Send it again.")


def not_reachable() -> Unavailable:
    """Return the refusal of direct uploads where clients cannot reach the object store."""
    return Unavailable(
        "direct_uploads_off",
        "This installation's object store takes no uploads from outside. Send the file through this service: PUT /v1/objects/{path}.",
    )


def too_many_uploads(most: int) -> Conflict:
    """Return the refusal of yet another upload beside those under way."""
    return Conflict("too_many_uploads", f"{most} direct uploads are under way in this project. Complete or abort some: GET /v1/uploads/.")


def too_many_addresses(most: int) -> Conflict:
    """Return the refusal of yet another upload while as many signed addresses are good whose uploads or objects are gone."""
    return Conflict(
        "too_many_addresses",
        f"{most} direct uploads of this project are under way, were aborted or had their object deleted while their addresses are still valid. "
        "Wait until some have ended, or send the file through this service: PUT /v1/objects/{path}.",
    )


def parts_too_heavy(most: int, size: int) -> Conflict:
    """Return why an upload was given up whose parts were sent over and over (bytes): the store keeps each version."""
    return Conflict(
        "parts_too_large",
        f"The parts that were sent add up to more than {readable_size(most)}, the upload is of {readable_size(size)}: they were sent too often. "
        "Nothing was stored; send it again.",
    )


def nothing_arrived() -> Conflict:
    """Return the answer to `complete` before the bytes are there."""
    return Conflict("not_uploaded", "The store has not got these bytes yet. Send them to the signed address, then complete.")


def parts_missing(numbers: list[int]) -> Conflict:
    """Return the answer to `complete` before all parts are there."""
    named = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    return Conflict(
        "parts_missing",
        f"{len(numbers)} parts have not arrived: {named}. Send them, then complete.",
        fields={"parts": [str(number) for number in numbers[:100]]},
    )


def wrong_part(number: int, why: str) -> InvalidInput:
    """Return the refusal of a part that cannot be used."""
    return InvalidInput("wrong_part", f"Part {number} {why}. Send it again, then complete.", fields={"parts": [f"{number} {why}"]})


def unchecked_hash() -> Conflict:
    """Return the refusal of a single request whose hash the store did not check: other bytes could follow at the same address."""
    return Conflict(
        "hash_not_checked",
        "The object store does not check SHA-256 by itself, so nothing was stored. Upload in parts: method 'multipart'.",
    )


def upload_done() -> Conflict:
    """Return the refusal to abort what is stored."""
    return Conflict("upload_done", "This upload is complete. Delete its object if you do not want it: DELETE /v1/objects/?uid=….")


def wrong_hash(told: str, found: str) -> InvalidInput:
    """Return the refusal of bytes that are not those that were announced."""
    return InvalidInput(
        "wrong_sha256",
        f"The bytes that arrived have the SHA-256 {found}, {told} was announced. Nothing was stored; send them again.",
        fields={"sha256": [f"is {found}"]},
    )


class WrongSize(InvalidInput):
    """There are more or fewer bytes than announced."""


def wrong_size(told: int, found: int) -> WrongSize:
    """Return the refusal of more or fewer bytes than announced."""
    return WrongSize(
        "wrong_size",
        f"{found} bytes arrived, {told} were announced. Nothing was stored; send them again.",
        fields={"size": [f"is {found}"]},
    )


def busy(what: str) -> Unavailable:
    """Return the refusal while as many uploads (or downloads) run as this process takes."""
    instead = {
        "uploads": "upload directly to the store: POST /v1/uploads/",
        "downloads": "download from the store: PUT /v1/presigned-urls/download/{uid}",
    }[what]
    return Unavailable(f"{what}_busy", f"Too many {what} are under way here. Try again in a moment, or {instead}.")


def not_a_form() -> InvalidInput:
    """Return the refusal of a body that is no form."""
    return UnsupportedMedia(
        "unsupported_media_type",
        "Send multipart/form-data with the file in the part 'file': curl -F 'file=@picture.png;type=image/png'.",
    )


class UnsupportedMedia(InvalidInput):
    """The body is of another media type than the route takes (415)."""

    status = 415


class ClientSilent(InvalidInput):
    """The body stopped coming (408)."""

    status = 408


def client_silent(seconds: float) -> ClientSilent:
    """Return the answer to a client that stopped sending."""
    return ClientSilent("timeout", f"Nothing came for {seconds:.0f} seconds, the upload was given up. Nothing was stored; send it again.")


def too_long_for_stream(most: int) -> TooLarge:
    """Return the refusal of a file that takes more parts than there can be."""
    return TooLarge(
        "too_long",
        f"A file that is sent through this service has at most {readable_size(most)}. Upload larger ones directly: POST /v1/uploads/.",
    )
