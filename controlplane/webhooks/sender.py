"""The places of this process: a turn has a thread of its own, so that no receiver ever holds one of the worker's."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache

from django.db import Error, connections

from controlplane.webhooks.claims import Turn, claim_turns
from controlplane.webhooks.delivery import deliver_turn

logger = logging.getLogger(__name__)

# Turns at a time. Failing and slow receivers have places of their own: however many there are, the quick ones are served.
QUICK_PLACES, SLOW_PLACES = 8, 8


class Sender:
    """Takes turns while there are places, and again whenever one ends."""

    def __init__(self, *, quick: int = QUICK_PLACES, slow: int = SLOW_PLACES) -> None:
        self._free = {False: quick, True: slow}
        self._busy = 0
        self._changed = threading.Condition()
        self._claiming = threading.Lock()
        self._stopping = threading.Event()

    def fill(self, *, wait: bool = False) -> int:
        """Start what is due, as far as there are places; return how many turns were started.

        One caller at a time: another one returns at once, or waits for the first with `wait`.
        """
        if self._stopping.is_set() or not self._claiming.acquire(blocking=wait):
            return 0
        try:
            turns = claim_turns(quick=self._free[False], slow=self._free[True])
            for turn in turns:
                self._start(turn)
        finally:
            self._claiming.release()
        return len(turns)

    def stop(self) -> None:
        """Begin nothing more; turns end after the delivery that they are at."""
        self._stopping.set()

    def await_idle(self, seconds: float) -> bool:
        """Wait until no turn is under way; False when there still is one."""
        ends = time.monotonic() + seconds
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout=ends - time.monotonic())

    def _start(self, turn: Turn) -> None:
        self._count(turn, places=-1, busy=1)
        try:
            # A daemon: the end of the process does not wait for a receiver. What was under way is due again when its lease ends.
            threading.Thread(target=self._run, args=(turn,), name="webhook-turn", daemon=True).start()
        except RuntimeError:
            self._count(turn, places=1, busy=-1)  # no more threads; this turn, too, is due again when its lease ends
            raise

    def _run(self, turn: Turn) -> None:
        try:
            deliver_turn(turn, stopping=self._stopping)
        except Error as error:
            logger.warning("webhook %s: what was sent could not be written down and is sent again: %s", turn.webhook.pk, error)
        except Exception:
            logger.exception("webhook %s: a turn failed", turn.webhook.pk)
        finally:
            self._end(turn)

    def _end(self, turn: Turn) -> None:
        self._count(turn, places=1)
        try:
            self.fill(wait=True)
        except Error as error:
            logger.warning("webhooks wait for the next look: %s", error)
        finally:
            connections.close_all()
            self._count(turn, busy=-1)

    def _count(self, turn: Turn, *, places: int = 0, busy: int = 0) -> None:
        with self._changed:
            self._free[turn.slow] += places
            self._busy += busy
            self._changed.notify_all()


@cache
def sender() -> Sender:
    """Return the process's own."""
    return Sender()
