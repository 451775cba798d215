"""How Stripe says no: an envelope with a type, and for programs a code."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, kind: str, message: str, *, code: str | None = None, param: str | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        found = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.content = {"error": {name: value for name, value in found.items() if value is not None}}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """The request cannot be done as it is."""
    return Refused(400, "invalid_request_error", message, param=param, code=code)


def missing(kind: str, name: str, *, param: str = "id") -> Refused:
    """There is no such thing: 404 when the address names it, 400 when a parameter does."""
    status = 404 if param == "id" else 400
    return Refused(status, "invalid_request_error", f"No such {kind}: '{name}'", param=param, code="resource_missing")


def declined() -> Refused:
    """The card does not pay."""
    return Refused(402, "card_error", "Your card was declined.", code="card_declined", decline_code="generic_decline")
