"""A one-shot event with a cheap bounded wait: thousands of long polls hang on it."""

from __future__ import annotations

import asyncio


class Gate:
    """Opens once. Waiting costs a future and, with a limit, a timer: no task."""

    __slots__ = ("_waiters", "is_open", "users")

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open
        self.users = 0
        self._waiters: list[asyncio.Future[None]] = []

    def open(self) -> None:
        """Let all waiters through, now and from now on."""
        self.is_open = True
        self.poke()

    def poke(self) -> None:
        """Let those through who wait now, without opening."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, limit: float | None = None) -> bool:
        """Wait until open, at most `limit` seconds; return whether it is open."""
        if self.is_open:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        timer = None if limit is None else loop.call_later(max(limit, 0), _release, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            if not self.is_open and waiter in self._waiters:
                self._waiters.remove(waiter)
        return self.is_open


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
