"""Caps on bytes: of payloads in memory (what does not fit is refused before it is read), and of what waits for a replica."""

from __future__ import annotations

from gateway.errors import Busy
from gateway.gate import Gate


class Budget:
    """Counts bytes in use against a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.freed = Gate()

    def fits(self, more: int) -> bool:
        """Tell whether there is room; one that is larger than all of it fits alone."""
        return self.used + more <= self.limit or not self.used

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

    async def wait_for(self, size: int) -> None:
        """Hold `size` bytes in all, waiting until there is room. For what was accepted already, and lies elsewhere until then."""
        while size > self.size and not self._budget.fits(size - self.size):
            await self._budget.freed.wait()
        self.set_to(max(size, self.size))

    def set_to(self, size: int) -> None:
        """Hold exactly these bytes, which are in memory already."""
        self._budget.used += size - self.size
        smaller, self.size = size < self.size, size
        if smaller:
            self._budget.freed.poke()

    def release(self) -> None:
        """Give the bytes back."""
        self.set_to(0)


class Shares:
    """A limit in bytes that several share: each may have as much as all of them leave free, so one alone gets half and nobody is shut out."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._by_name: dict[str, int] = {}

    def take(self, name: str, size: int, *, force: bool = False) -> bool:
        """Take bytes, also above the limit with `force`; return False, and take nothing, when there is no room."""
        own = self._by_name.get(name, 0) + size
        if not force and own > self.limit - self.used:
            return False
        self._by_name[name] = own
        self.used += size
        return True

    def give(self, name: str, size: int) -> None:
        """Give bytes back."""
        self.used -= size
        self._by_name[name] -= size
        if not self._by_name[name]:
            del self._by_name[name]
