"""Answers that are kept by the key of their request: the same request again gets the same answer, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.fakes.stripe.refusals import Refused

KEPT_SECONDS = 24 * 3600
# What is refused before anything was done is not kept.
NOT_KEPT = (400, 401, 404, 409, 429)


@dataclass(frozen=True)
class Kept:
    """An answer, for whom, and since when."""

    request: tuple[str, str, str]
    status: int
    body: bytes
    at: int


@dataclass
class Answers:
    """The answers of an account."""

    kept: dict[str, Kept] = field(default_factory=dict)

    def find(self, key: str | None, request: tuple[str, str, str], now: int) -> Kept | None:
        """Return the answer to the same request; raises Refused when the key was another request's."""
        found = self.kept.get(key or "")
        if found is None or now - found.at >= KEPT_SECONDS:
            return None
        if found.request != request:
            message = f"Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}'."
            raise Refused(400, "idempotency_error", message)
        return found

    def keep(self, key: str | None, request: tuple[str, str, str], status: int, body: bytes, now: int) -> None:
        """Keep an answer, unless nothing was done."""
        if key and status not in NOT_KEPT:
            self.kept[key] = Kept(request, status, body, now)
