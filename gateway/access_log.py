"""One line of JSON for each request, without query strings and headers: no token can get into it. Written in batches."""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec

FLUSH_EVERY = 0.25
FLUSH_AT = 500


class AccessLog:
    """Collects lines and writes them to stdout four times a second."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, method: str, path: str, status: int, seconds: float, size: int, request_id: str) -> None:
        """Note an answered request."""
        if not self._enabled:
            return
        line = {
            "ts": int(time.time() * 1000),
            "method": method,
            "path": path[:200],
            "status": status,
            "ms": round(seconds * 1000, 2),
            "bytes": size,
            "request_id": request_id,
        }
        self._lines.append(msgspec.json.encode(line))
        if len(self._lines) >= FLUSH_AT:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_EVERY, self.flush)

    def flush(self) -> None:
        """Write what was collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            sys.stdout.buffer.write(b"\n".join(lines) + b"\n")
            sys.stdout.buffer.flush()
        except OSError:
            self._enabled = False
