"""Work that nobody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from gateway.errors import SlipwayError
from gateway.valkey import ReplyError

logger = logging.getLogger("gateway.background")


class Background:
    """Keeps such work alive until it is done; its failures are logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it behind."""
        task = asyncio.create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self, limit: float) -> None:
        """Wait at most `limit` seconds for all of it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except (SlipwayError, ReplyError) as error:
        logger.warning("Background work failed: %s", error)
    except Exception:
        logger.exception("Background work failed")
