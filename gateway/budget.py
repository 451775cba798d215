"""A cap on the bytes of payloads in memory: what does not fit is refused before it is read."""

from __future__ import annotations

from gateway.errors import Busy


class Budget:
    """Counts bytes in use against a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def reserve(self) -> Reservation:
        """Return an empty reservation."""
        return Reservation(self)


class Reservation:
    """The bytes of one payload, from its first chunk until its run has ended."""

    __slots__ = ("_budget", "size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def grow_to(self, size: int) -> None:
        """Hold `size` bytes in all. Raises `Busy` when the gateway has no room."""
        more = size - self.size
        if more <= 0:
            return
        if self._budget.used + more > self._budget.limit:
            raise Busy("gateway_full", "The gateway holds as many payloads as it can. Try again in a moment.", retry_after=1)
        self._budget.used += more
        self.size = size

    def release(self) -> None:
        """Give the bytes back."""
        self._budget.used -= self.size
        self.size = 0
