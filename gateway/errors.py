"""Refusals of the gateway, beside those of the whole service, and the JSON envelope they all become."""

from __future__ import annotations

import msgspec

from controlplane.common.errors import (
    Conflict,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    PaymentRequired,
    PermissionDenied,
    SlipwayError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)

__all__ = [
    "Busy",
    "Conflict",
    "InvalidInput",
    "MethodNotAllowed",
    "NotAuthenticated",
    "NotFound",
    "PaymentRequired",
    "PermissionDenied",
    "SlipwayError",
    "StoreUnavailable",
    "TooLarge",
    "TooManyCalls",
    "Unavailable",
    "Unprocessable",
    "UnsupportedMedia",
    "envelope",
    "error_headers",
]


class MethodNotAllowed(SlipwayError):
    """The path exists, the method does not (405)."""

    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__("method_not_allowed", f"This address answers {allowed}.")
        self.allowed = allowed


class UnsupportedMedia(SlipwayError):
    """The body is not JSON (415)."""

    status = 415


class Busy(Unavailable):
    """Nothing is wrong, there is only too much of it: the caller should try again after `retry_after` seconds (503)."""

    def __init__(self, code: str, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after


class TooManyCalls(TooManyRequests):
    """The workspace has started as many runs in this minute as its plan allows; the next one begins in `retry_after` seconds (429)."""

    def __init__(self, limit: int, *, plan: str | None, retry_after: int) -> None:
        whose = f"The plan {plan} of" if plan else "The plan of"
        who = "Without a plan this workspace may start" if plan == "" else f"{whose} this workspace allows"
        detail = (
            f"{who} {limit:,} runs a minute over all its endpoints. Send this run again in {retry_after} seconds. "
            "A plan that allows more lifts the limit at once: its owner can change it in the billing settings."
        )
        super().__init__("calls_limit_reached", detail, fields={"calls_a_minute": limit, "retry_after": retry_after})
        self.retry_after = retry_after


class StoreUnavailable(Busy):
    """Valkey does not answer (503)."""

    def __init__(self, detail: str = "The run store does not answer. Try again in a moment.") -> None:
        super().__init__("store_unavailable", detail, retry_after=2)


def envelope(error: SlipwayError, request_id: str) -> bytes:
    """Return the JSON body of a refusal."""
    content: dict[str, object] = {"code": error.code, "detail": error.detail, "request_id": request_id}
    if error.fields:
        content["fields"] = error.fields
    return msgspec.json.encode(content)


def error_headers(error: SlipwayError) -> list[tuple[bytes, bytes]]:
    """Return the headers that belong to a refusal."""
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", error.allowed.encode())]
    if isinstance(error, Busy | TooManyCalls):
        return [(b"retry-after", b"%d" % error.retry_after)]
    if isinstance(error, NotAuthenticated):
        return [(b"www-authenticate", b'Bearer realm="endpoint"')]
    return []
