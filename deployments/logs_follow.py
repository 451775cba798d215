"""Follow a log: an answer is held until there are new lines, for so few callers at a time that the web process does not feel it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.conf import settings

from deployments.selectors_logs import LogRequest, newest_time, read_log

HOLD_SECONDS = 20.0
POLL_SECONDS = 0.25
# To whom there is no seat: ask again after this time.
RETRY_MS = 1000
pause = time.sleep


class Seats:
    """The callers of this process who are held. Each takes one of the web process's threads, which uploads and everybody else need, too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken: Counter[UUID] = Counter()

    @contextmanager
    def one(self, person: UUID) -> Iterator[bool]:
        """Take a seat for a while; False when all are taken, or half of them by this person."""
        limit = settings.LOG_FOLLOWERS
        with self.lock:
            free = self.taken.total() < limit and self.taken[person] < (limit + 1) // 2
            self.taken[person] += int(free)
        try:
            yield free
        finally:
            with self.lock:
                self.taken[person] -= int(free)
                self.taken += Counter()


seats = Seats()


def follow_log(deployment_id: UUID, wanted: LogRequest, *, person: UUID) -> dict[str, Any]:
    """Return `{"logs", "end", "retry_after_ms"}`: at once if there are lines, else as soon as there are some, after 20 seconds without any.

    `end` may be later than the last line when others did not match: going on from `end + 1` misses nothing and reads nothing twice.
    `retry_after_ms` is 0, or how long to wait where nobody else can be held.
    """
    if wanted.start is None:
        page = read_log(deployment_id, wanted)
        if page["logs"] or wanted.end is not None:
            return {**page, "retry_after_ms": 0}
    with seats.one(person) as seated:
        page = held(deployment_id, wanted, seconds=HOLD_SECONDS if seated and wanted.end is None else 0.0)
    return {**page, "retry_after_ms": 0 if seated or page["logs"] else RETRY_MS}


def held(deployment_id: UUID, wanted: LogRequest, *, seconds: float) -> dict[str, Any]:
    """Look every 250 ms, by a key alone, whether the log has grown; return its new lines, or none when the time is over."""
    seen = max((wanted.start or 0) - 1, 0)
    for left in range(round(seconds / POLL_SECONDS), -1, -1):
        # Asked for before the lines are: all of them up to this time are there.
        newest = newest_time(deployment_id)
        if newest > seen:
            page = read_log(deployment_id, replace(wanted, start=seen + 1))
            if page["logs"]:
                return page
            seen = newest if wanted.end is None else seen
        if left:
            pause(POLL_SECONDS)
    return {"logs": [], "end": seen}
