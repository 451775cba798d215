"""Runs that wait for a place, in the order of their acceptance: also those that another gateway accepted, or that a replica sent back."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.run import Outcome, Replica, Run

SPARE = 64


@dataclass(slots=True, eq=False)
class Waiter:
    """A run in line: `place` is the replica that it gets, or how it ends without one; `size` are the bytes that it takes meanwhile.

    `since`: when it joined the line, in monotonic seconds.
    """

    run: Run
    place: asyncio.Future[Replica | Outcome]
    size: int
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class Line:
    """Waiters by the time of acceptance of their runs (of the clock of the gateway that accepted them), then in the order in which they came."""

    _waiters: dict[str, Waiter] = field(default_factory=dict)
    # By id, not by waiter: who has left in the middle leaves no input in memory.
    _order: list[tuple[int, int, str]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiters)

    def __iter__(self) -> Iterator[Waiter]:
        """Return those who wait now, in no order."""
        return iter(list(self._waiters.values()))

    def add(self, waiter: Waiter) -> None:
        """Let a run wait."""
        self._waiters[waiter.run.id] = waiter
        heapq.heappush(self._order, (waiter.run.accepted_ms, next(self._numbers), waiter.run.id))
        if len(self._order) > 2 * len(self._waiters) + SPARE:
            self._order = [entry for entry in self._order if entry[2] in self._waiters]
            heapq.heapify(self._order)

    def get(self, run_id: str) -> Waiter | None:
        """Return the one of this run."""
        return self._waiters.get(run_id)

    def remove(self, waiter: Waiter) -> bool:
        """Take one out; False when it waits no more."""
        if self._waiters.get(waiter.run.id) is not waiter:
            return False
        del self._waiters[waiter.run.id]
        return True

    def pop(self) -> Waiter | None:
        """Take the first one out who still waits for a place."""
        while self._order:
            waiter = self._waiters.pop(heapq.heappop(self._order)[2], None)
            if waiter is not None and not waiter.place.done():
                return waiter
        return None
