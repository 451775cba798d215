"""Places for uploads and downloads in one process: each holds a thread of the server, which must have some left for everything else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from storage.errors import busy

# Of each kind, of the 56 threads that serve requests (controlplane/embedded/applications.py, deploy/Dockerfile).
AT_ONCE = 20
FOR_ONE_PROJECT = 12
# What comes in a burst waits for each other, as long as places keep getting free; behind what stands still nobody waits.
LONGEST_WAIT = 15.0
LONGEST_STANDSTILL = 2.0


class Slots:
    """`hold` gives a place or raises `Unavailable`; no project takes them all."""

    def __init__(self, what: str, *, most: int = AT_ONCE, share: int = FOR_ONE_PROJECT, standstill: float = LONGEST_STANDSTILL) -> None:
        self._what = what
        self._most = most
        self._share = share
        self._standstill = standstill
        self._held: Counter[UUID] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, project_id: UUID) -> Iterator[None]:
        """Hold a place for a project."""
        with self._changed:
            self._wait_for_place(project_id)
            self._held[project_id] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[project_id] -= 1
                self._held += Counter()  # forgets projects with none
                self._changed.notify_all()

    def _wait_for_place(self, project_id: UUID) -> None:
        deadline = time.monotonic() + LONGEST_WAIT
        while self._held[project_id] >= self._share or self._held.total() >= self._most:
            moved = self._changed.wait(self._standstill)
            if not moved or time.monotonic() > deadline:
                raise busy(self._what)


upload_slots = Slots("uploads")
download_slots = Slots("downloads")
