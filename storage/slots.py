"""Places for uploads in one process: each holds a thread of the server, which must have some left for everything else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from storage.errors import busy

# Of the 32 threads that serve requests (controlplane/embedded/applications.py, deploy/Dockerfile).
AT_ONCE = 24
FOR_ONE_PROJECT = 16
# Uploads of a burst wait for each other, as long as places keep getting free; behind uploads that stand still nobody waits.
LONGEST_WAIT = 15.0
LONGEST_STANDSTILL = 2.0


class UploadSlots:
    """`hold` gives a place or raises `Unavailable`; no project takes them all."""

    def __init__(self, *, most: int = AT_ONCE, share: int = FOR_ONE_PROJECT, standstill: float = LONGEST_STANDSTILL) -> None:
        self._most = most
        self._share = share
        self._standstill = standstill
        self._held: Counter[UUID] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, project_id: UUID) -> Iterator[None]:
        """Hold a place for an upload of a project."""
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
                raise busy()


upload_slots = UploadSlots()
