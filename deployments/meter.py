"""The meter process: runs as they are reported, and the time of instances each minute, into charges. Several may run; none of them is needed twice."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Event, Thread
from zlib import crc32

import redis
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, close_old_connections, connection

from billing.metering import meter
from controlplane.common.valkey import valkey
from deployments.usage import keep
from deployments.usage_stream import BATCH, RECLAIM_AFTER_MS, Entry, ensure_group, new_entries, reclaimed_entries

logger = logging.getLogger(__name__)

WAIT_MS = 1000
RETRY_SECONDS = 1.0
TICK_KEY = "sw:meter:tick"
# A batch makes a hundred thousand objects, none of which is part of a cycle.
COLLECT_AFTER = 500_000
# While one waits for the database, another one works.
CHARGERS = 2


class Desk:
    """Where runs lie until the thread that charges them is free: it then takes all there are at once, so that none waits for more than one batch
    before its own.
    """

    def __init__(self) -> None:
        """Begin with nothing on it."""
        self.pile: list[Entry] = []
        self.closed = False
        self.changed = Condition()

    def lay(self, entries: list[Entry]) -> None:
        """Add runs, as soon as there are fewer than one batch may have."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.pile) < BATCH)
            self.pile += entries
            self.changed.notify_all()

    def take(self) -> list[Entry]:
        """Wait for runs and return all; none when there will be no more."""
        with self.changed:
            self.changed.wait_for(lambda: self.pile or self.closed)
            taken, self.pile = self.pile, []
            self.changed.notify_all()
            return taken

    def close(self) -> None:
        """Say that there will be no more."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()


@dataclass(slots=True)
class Meter:
    """One meter: a thread that takes runs from the stream, threads that charge them, and the one that called `run`, which charges instances and
    takes over what was left lying.

    Each charger has the deployments that fall to it, so that none waits for a wallet that another one holds. `ending` is set by whoever wants
    it to end: what it has in hand is finished.
    """

    ending: Event = field(default_factory=Event)
    desks: list[Desk] = field(default_factory=lambda: [Desk() for _ in range(CHARGERS)])
    reclaim_at: float = 0.0
    tick_at: float = 0.0

    def run(self) -> None:
        """Go on until `ending`. Servers that do not answer are asked again each second; nothing is lost meanwhile."""
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        taker = Thread(target=self.repeat, args=(self.take_runs,), name="taker")
        chargers = [Thread(target=self.charge_all, args=(desk,), name=f"charger{number}") for number, desk in enumerate(self.desks)]
        for thread in (taker, *chargers):
            thread.start()
        self.repeat(self.keep_time)
        taker.join()
        for desk in self.desks:
            desk.close()
        for thread in chargers:
            thread.join()

    def repeat(self, work: Callable[[], None]) -> None:
        """Do something again and again until the end."""
        while not self.ending.is_set():
            self.attempt(work)
        connection.close()

    def attempt(self, work: Callable[[], object]) -> None:
        """Do something; what goes wrong is told, and tried again by whoever comes next."""
        try:
            close_old_connections()
            work()
        except (redis.RedisError, InterfaceError, OperationalError) as error:
            logger.warning("nothing charged, next try in a second: %s", error)
            self.ending.wait(RETRY_SECONDS)
        except Error:
            logger.exception("not charged; it is tried again")
            self.ending.wait(RETRY_SECONDS)

    def take_runs(self) -> None:
        """Take what runs were reported, and lay them before those who charge them; waits a second at most for some."""
        entries = new_entries(wait_ms=WAIT_MS)
        piles: list[list[Entry]] = [[] for _ in self.desks]
        for entry in entries:
            piles[crc32(entry[1].get(b"deployment", b"")) % CHARGERS].append(entry)
        for desk, pile in zip(self.desks, piles, strict=True):
            if pile:
                desk.lay(pile)

    def charge_all(self, desk: Desk) -> None:
        """Charge what is laid before this thread, to the last."""
        while pile := desk.take():
            self.attempt(partial(keep, pile))
        connection.close()

    def keep_time(self) -> None:
        """Charge instances if it is time, and runs that another meter took and never finished."""
        now = time.monotonic()
        if now >= self.reclaim_at:
            ensure_group()
            self.reclaim_at = now + RECLAIM_AFTER_MS / 2000
            while entries := reclaimed_entries():
                keep(entries)
        if now >= self.tick_at:
            self.tick_at = now + settings.METERING_SECONDS
            if turn_is_ours():
                meter(threads=CHARGERS)
        self.ending.wait(max(0.0, min(self.reclaim_at, self.tick_at) - time.monotonic()))


def turn_is_ours() -> bool:
    """Tell whether no other meter has charged the instances in this interval. It would be no harm, only work."""
    try:
        return bool(valkey().set(TICK_KEY, "1", nx=True, px=int(settings.METERING_SECONDS * 900)))
    except redis.RedisError:
        return True
