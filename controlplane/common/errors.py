"""Errors with a meaning: each carries a code for programs, a sentence for people and the HTTP status it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class SlipwayError(Exception):
    """A refusal that a user can act on.

    `code` is stable and machine-readable, `detail` says what happened and what to do, `fields` maps an input's name to
    what is wrong with it.
    """

    status: ClassVar[int] = 500

    def __init__(self, code: str, detail: str, *, fields: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fields = dict(fields) if fields else None


class InvalidInput(SlipwayError):
    """The request cannot be understood or breaks a rule (400)."""

    status = 400


class NotAuthenticated(SlipwayError):
    """No credentials, or credentials that are wrong, revoked or expired (401)."""

    status = 401


class PaymentRequired(SlipwayError):
    """The workspace has no credits for this (402)."""

    status = 402


class PermissionDenied(SlipwayError):
    """The caller sees the object but may not do this with it (403)."""

    status = 403


class NotFound(SlipwayError):
    """The object does not exist, or the caller may not know of it (404)."""

    status = 404


class Conflict(SlipwayError):
    """The object's present state forbids it (409)."""

    status = 409


class TooLarge(SlipwayError):
    """The body is over the limit (413)."""

    status = 413


class Unprocessable(SlipwayError):
    """Well-formed, but it cannot be carried out (422)."""

    status = 422


class TooManyRequests(SlipwayError):
    """The caller asks too often (429)."""

    status = 429


class Unavailable(SlipwayError):
    """A part that is needed does not answer now (503)."""

    status = 503
