"""The meter process: runs as they are reported, and the time of instances each minute, into charges. Several may run; none of them is needed twice."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from threading import Event

import redis
from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, close_old_connections

from billing.metering import meter
from controlplane.common.valkey import valkey
from deployments.usage import keep
from deployments.usage_stream import RECLAIM_AFTER_MS, ensure_group, new_entries, reclaimed_entries

logger = logging.getLogger(__name__)

WAIT_MS = 1000
# Under load runs are charged in larger batches, which is what makes it quick; this much later at most.
GATHER_SECONDS = 0.02
RETRY_SECONDS = 1.0
TICK_KEY = "sw:meter:tick"


@dataclass(slots=True)
class Meter:
    """One meter. `ending` is set by whoever wants it to end: what it has in hand is finished."""

    ending: Event = field(default_factory=Event)
    reclaim_at: float = 0.0
    tick_at: float = 0.0

    def run(self) -> None:
        """Go on until `ending`. Servers that do not answer are asked again each second; nothing is lost meanwhile."""
        while not self.ending.is_set():
            try:
                close_old_connections()
                self.turn()
            except (redis.RedisError, InterfaceError, OperationalError) as error:
                logger.warning("nothing charged, next try in a second: %s", error)
                self.ending.wait(RETRY_SECONDS)
            except Error:
                logger.exception("a batch was not charged; it is tried again")
                self.ending.wait(RETRY_SECONDS)

    def turn(self) -> None:
        """Charge instances if it is time, then what runs were reported; waits a second at most for some."""
        now = time.monotonic()
        if now >= self.tick_at:
            self.tick_at = now + settings.METERING_SECONDS
            if turn_is_ours():
                meter()
        if now >= self.reclaim_at:
            ensure_group()
            self.reclaim_at = now + RECLAIM_AFTER_MS / 2000
            while entries := reclaimed_entries():
                keep(entries)
        entries = new_entries(wait_ms=WAIT_MS)
        if entries:
            keep(entries)
            self.ending.wait(GATHER_SECONDS)


def turn_is_ours() -> bool:
    """Tell whether no other meter has charged the instances in this interval. It would be no harm, only work."""
    try:
        return bool(valkey().set(TICK_KEY, "1", nx=True, px=int(settings.METERING_SECONDS * 900)))
    except redis.RedisError:
        return True
