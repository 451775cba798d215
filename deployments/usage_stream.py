"""The stream of usage in Valkey: at least once in. Entries leave it only when what they tell is committed."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import Any

import redis
from django.conf import settings

from controlplane.common.valkey import valkey

STREAM = "sw:usage"
GROUP = "usage"
REFUSED_STREAM = "sw:usage:refused"
# Charging costs a batch what it costs each wallet in it: many runs at once are cheap.
BATCH = 20_000
RECLAIM_AFTER_MS = 30_000

Entry = tuple[bytes, dict[bytes, bytes]]


def consumer_name() -> str:
    """Return this process's name in the group."""
    return f"{socket.gethostname()}-{os.getpid()}"


def ensure_group() -> None:
    """Create stream and group; also after Valkey lost its data."""
    try:
        valkey().xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


def new_entries(*, wait_ms: int | None = None) -> list[Entry]:
    """Return entries that nobody has taken yet; with `wait_ms`, wait for some at most so long."""
    answer: Any = reader().xreadgroup(GROUP, consumer_name(), {STREAM: ">"}, count=BATCH, block=wait_ms)
    return entries_of(answer)


@cache
def reader() -> redis.Redis:
    """Return a client that leaves replies as they come: to make them tidy takes the library as long as all that is done with them here."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=2, health_check_interval=15)
    client.set_response_callback("XREADGROUP", lambda reply, **_: reply)
    return client


def entries_of(reply: Any) -> list[Entry]:
    """Return (id, fields) pairs of a raw reply, in either version of the protocol."""
    streams = list(reply.values()) if isinstance(reply, dict) else [found for _, found in reply or []]
    entries = streams[0] if streams else []
    return [(key, dict(zip(fields[::2], fields[1::2], strict=True))) for key, fields in entries if fields]


def reclaimed_entries() -> list[Entry]:
    """Return entries that a process took long ago and never finished."""
    answer: Any = valkey().xautoclaim(STREAM, GROUP, consumer_name(), min_idle_time=RECLAIM_AFTER_MS, count=BATCH)
    return flat(answer[1])


def give_back(entries: list[Entry]) -> None:
    """Let the next call take these entries, whichever process makes it: they count as left lying long ago."""
    valkey().xclaim(STREAM, GROUP, consumer_name(), 0, [key for key, _ in entries], idle=RECLAIM_AFTER_MS, justid=True)


def flat(found: Any) -> list[Entry]:
    """Return (id, fields) pairs of either reply form of the client; entries that were deleted meanwhile have no fields."""
    entries = found[0] if found and isinstance(found[0], list) and found[0] and isinstance(found[0][0], tuple | list) else found
    return [(entry[0], entry[1]) for entry in entries if entry[1]]


def take_out(entries: list[Entry], refused: list[tuple[Entry, str]]) -> None:
    """Take entries out of the stream; refused ones are moved to `sw:usage:refused` with the reason as `refused`."""
    pipe = valkey().pipeline(transaction=True)
    for (_, fields), reason in refused:
        told: Any = {**fields, "refused": reason}
        pipe.xadd(REFUSED_STREAM, told)
    ids = [key for key, _ in entries]
    pipe.xack(STREAM, GROUP, *ids)
    pipe.xdel(STREAM, *ids)
    pipe.execute()
