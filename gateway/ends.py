"""Runs that ended here a moment ago: answers without asking Valkey, and what to write again when Valkey lost it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from gateway.run import Outcome, Run

KEPT_FOR = 60.0


class Ends:
    """Outcomes by run id, bounded in bytes: the oldest go first."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._ended: OrderedDict[str, tuple[float, Run, Outcome]] = OrderedDict()
        self._size = 0

    def add(self, run: Run, outcome: Outcome) -> None:
        """Keep the end of a run."""
        self.remove(run.id)
        self._ended[run.id] = (self._clock(), run, outcome)
        self._size += len(outcome.content)
        while self._size > self._limit and self._ended:
            self.remove(next(iter(self._ended)))

    def get(self, run_id: str) -> tuple[Run, Outcome] | None:
        """Return the end of a run, if it is still kept."""
        found = self._ended.get(run_id)
        return found[1:] if found else None

    def replace(self, run_id: str, outcome: Outcome) -> None:
        """The content of an outcome has moved."""
        if (found := self._ended.get(run_id)) is not None:
            self._ended[run_id] = (found[0], found[1], outcome)

    def remove(self, run_id: str) -> None:
        """Forget one."""
        if (found := self._ended.pop(run_id, None)) is not None:
            self._size -= len(found[2].content)

    def since(self, seconds: float) -> list[tuple[Run, Outcome]]:
        """Return what ended in the last `seconds`."""
        start = self._clock() - seconds
        return [(run, outcome) for ended, run, outcome in self._ended.values() if ended >= start]

    def drop_old(self) -> None:
        """Forget what ended more than a minute ago."""
        limit = self._clock() - KEPT_FOR
        while self._ended:
            run_id, (ended, _, _) = next(iter(self._ended.items()))
            if ended > limit:
                return
            self.remove(run_id)
