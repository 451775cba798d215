"""What an account at Stripe holds, its clock, and what is to happen by itself when the clock gets there."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.fakes.stripe.refusals import missing

Json = dict[str, Any]
BEGINNING = int(datetime(2026, 1, 31, 10, 0, tzinfo=UTC).timestamp())
# Where objects of a kind are, by the start of their ids.
KINDS = {
    "prod": "product",
    "price": "price",
    "cus": "customer",
    "cs_test": "checkout.session",
    "bps": "billing_portal.session",
    "bpc": "billing_portal.configuration",
    "sub": "subscription",
    "in": "invoice",
    "evt": "event",
}


@dataclass(order=True)
class Due:
    """Something that happens at a time."""

    at: int
    number: int
    act: Callable[[], None] = field(compare=False)


@dataclass
class Account:
    """`failing` are customers whose cards do not pay, `baskets` what is bought in a checkout session, `pending_lines` what comes on the next
    invoice of a subscription. `answering` is the request that is being answered."""

    url: str = ""
    now: int = BEGINNING
    objects: dict[str, dict[str, Json]] = field(default_factory=lambda: {kind: {} for kind in KINDS.values()})
    failing: set[str] = field(default_factory=set)
    baskets: dict[str, Json] = field(default_factory=dict)
    pending_lines: dict[str, list[Json]] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)
    answering: Json = field(default_factory=lambda: {"id": None, "idempotency_key": None})
    on_event: Callable[[Json], None] = lambda event: None

    def make(self, prefix: str, content: Json) -> Json:
        """Keep a new object, with an id, and return it."""
        made = {
            "id": f"{prefix}_{next(self.numbers):08d}",
            "object": KINDS[prefix],
            "created": self.now,
            "livemode": False,
            **content,
        }
        self.objects[KINDS[prefix]][made["id"]] = made
        return made

    def get(self, kind: str, name: str, *, param: str = "id") -> Json:
        """Return an object; one that was deleted is there for its own address only."""
        found = self.objects[kind].get(name)
        if found is None or (found.get("deleted") and param != "id"):
            raise missing(kind, name, param=param)
        return found

    def all(self, kind: str) -> list[Json]:
        """Return the objects of a kind that are not deleted, the newest first."""
        return [found for found in reversed(self.objects[kind].values()) if not found.get("deleted")]

    def schedule(self, at: int, act: Callable[[], None]) -> None:
        """Have something happen at a time."""
        heapq.heappush(self.due, Due(at, next(self.numbers), act))

    def advance_to(self, moment: int) -> None:
        """Move the clock; what is due on the way happens, each thing at its time."""
        with self.lock:
            while self.due and self.due[0].at <= moment:
                happening = heapq.heappop(self.due)
                self.now = max(self.now, happening.at)
                happening.act()
            self.now = max(self.now, moment)
