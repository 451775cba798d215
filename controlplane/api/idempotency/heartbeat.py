"""Keeps a lease alive while its owner works, from a thread that dies with the process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection

logger = logging.getLogger(__name__)


class Heartbeat:
    """Calls `renew` each `seconds` until the block ends or it returns False. The database is asked on a connection of its own."""

    def __init__(self, renew: Callable[[], bool], *, seconds: float) -> None:
        self._renew, self._seconds = renew, seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="idempotency-lease", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _beat(self) -> None:
        try:
            while not self._ended.wait(self._seconds) and self._once():
                pass
        finally:
            connection.close()

    def _once(self) -> bool:
        try:
            return self._renew()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the lease of an idempotency key was not renewed, next try in %.0f s: %s", self._seconds, error)
            connection.close()
            return True
