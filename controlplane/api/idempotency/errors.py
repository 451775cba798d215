"""Refusals of idempotency keys, each said in one place."""

from __future__ import annotations

from controlplane.common.errors import Conflict, InvalidInput, TooLarge, Unprocessable

RETRY_SECONDS = 1


class StillWorking(Conflict):
    """The first request of a key has not ended; `retry_after` is in seconds."""

    retry_after = RETRY_SECONDS


def bad_key(most: int) -> InvalidInput:
    """Return the refusal of what is no key."""
    return InvalidInput(
        "idempotency_key",
        f"An Idempotency-Key has 1 to {most} printable ASCII characters. Make a new UUID for each thing to be done, and send it with each try.",
        fields={"Idempotency-Key": [f"not 1 to {most} printable ASCII characters"]},
    )


def key_reused() -> Unprocessable:
    """Return the refusal of a key that came with another request before."""
    return Unprocessable(
        "idempotency_key_reused",
        "This Idempotency-Key came with another body, query or content type before. Make a new key for a new request; send a request again as it was.",
    )


def still_working() -> StillWorking:
    """Return the refusal while the first request of a key is under way, or was until a moment ago in a process that died."""
    return StillWorking(
        "idempotency_in_progress",
        "A request with this Idempotency-Key is being worked on. Send it again after 'Retry-After' to get its reply.",
    )


def taken_over() -> StillWorking:
    """Return the answer of a request that slept so long that another one took its key: what it did is undone."""
    return StillWorking(
        "idempotency_taken_over",
        "This request stood still for so long that another one with its Idempotency-Key began. Nothing of this one was kept; "
        "send it again to get the reply of the other.",
    )


def reply_not_kept() -> Conflict:
    """Return what is told in place of a reply that was too large to keep."""
    return Conflict(
        "idempotency_reply_not_kept",
        "This request was carried out before, but its reply was too large to keep. Do not send it again: look at what it made or changed.",
    )


def body_too_large(most: int) -> TooLarge:
    """Return the refusal of a body that is read as a whole (bytes)."""
    return TooLarge(
        "too_large", f"With an Idempotency-Key a body may have {most // 2**20} MB, unless it is multipart/form-data. Send less, or no key."
    )
