"""Fetch what replicas print, by cursor: each line exactly once, whoever dies on the way."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import redis
from django.conf import settings
from django.db import transaction

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey
from deployments.logs import LEVELS, NewLine, held_head, write_lines
from deployments.logs_limit import tell_skipped, within_limits
from deployments.models import Replica
from deployments.providers.base import LogPositions, LogReader, ProviderError
from deployments.providers.registry import provider
from deployments.states import ReplicaStatus

logger = logging.getLogger(__name__)

LINES_A_READ = 2000
READS_A_TICK = 5
TICK_SECONDS = 4.0
TURN = "sw:tail"
TURN_MS = 10_000
# A clock may go wrong by this much; later times are the writer's invention.
AHEAD_MS = 60_000
# By provider and replica, the position at which this process has seen that everything was read. Cursors only move on, so what has not moved
# since then needs no look: at rest a tick is one call and one small query, however many replicas there are.
READ_TO: dict[str, dict[str, str]] = {}
NEEDED = ("name", "backend", "status", "deployment_id", "log_cursor", "created_at")


def tail_logs() -> int:
    """Fetch what all replicas have printed since the last time; return the number of lines. A provider that fails is tried again later.

    One worker does it at a time; without Valkey several may, which costs double reading but doubles no line.
    """
    turn = take_turn()
    if turn is None:
        return 0
    try:
        tell_skipped()
        return sum(tail_backend(backend, ended=ended) for backend, ended in backends_to_read())
    finally:
        end_turn(turn)


def backends_to_read() -> list[tuple[str, bool]]:
    """Return the providers whose replicas may print, each with whether one is gone and not read to its end."""
    found: set[tuple[str, str]] = set(Replica.objects.filter(log_complete=False).order_by().values_list("backend", "status").distinct())
    return [(backend, (backend, ReplicaStatus.TERMINATED) in found) for backend in sorted({backend for backend, _ in found})]


def tail_backend(backend: str, *, ended: bool) -> int:
    """Fetch from one provider: round by round a chunk of each replica that has something new, so that none waits for a chatty one."""
    reader = provider(backend)
    if not isinstance(reader, LogReader):
        return 0
    try:
        behind = those_behind(reader, backend, ended=ended)
    except ProviderError as error:
        logger.info("logs of %s: %s", backend, error)
        return 0
    total, until = 0, time.monotonic() + TICK_SECONDS
    for _ in range(READS_A_TICK):
        unfinished = []
        for replica in behind:
            count = tail_or_zero(replica)
            total += count
            if count >= LINES_A_READ:
                unfinished.append(replica)
            if time.monotonic() > until:
                return total
        behind = unfinished
    return total


def those_behind(reader: LogReader, backend: str, *, ended: bool) -> list[Replica]:
    """Return the replicas with something to fetch: in one call where the provider tells positions, all of them where it does not.

    One that is gone and read to its end is done with: its provider may forget what it printed. Each second another one is the first, so that
    each has its turn even when there is too much for one tick.
    """
    rows = Replica.objects.filter(log_complete=False, backend=backend).only(*NEEDED).order_by("created_at")
    if not isinstance(reader, LogPositions):
        return list(rows)
    # Known before the positions are: what a replica printed before it was gone is then surely in its position.
    gone = set(rows.filter(status=ReplicaStatus.TERMINATED).values_list("name", flat=True)) if ended else set()
    positions = reader.log_positions()
    read = READ_TO.get(backend, {})
    moved = {name for name, position in positions.items() if read.get(name) != position}
    behind = []
    for replica in rows.filter(name__in=moved | gone) if moved | gone else ():
        if positions.get(replica.name, replica.log_cursor) != replica.log_cursor:
            behind.append(replica)
        elif replica.name in gone:
            complete(replica)
    late = {replica.name for replica in behind}
    READ_TO[backend] = {name: position for name, position in positions.items() if name not in late}
    first = int(time.monotonic()) % len(behind) if behind else 0
    return behind[first:] + behind[:first]


def tail_or_zero(replica: Replica) -> int:
    """Fetch one chunk; 0 when the provider fails."""
    try:
        return tail_replica(replica)
    except ProviderError as error:
        logger.info("logs of %s: %s", replica.name, error)
        return 0


def tail_replica(replica: Replica) -> int:
    """Fetch one chunk. Cursor and lines are written together, and only if nobody moved the cursor in between."""
    reader = provider(replica.backend)
    if not isinstance(reader, LogReader):
        return 0
    # Known before the logs are read: what a replica printed before it was gone is then surely in the chunk.
    gone = replica.status == ReplicaStatus.TERMINATED
    chunk = reader.read_logs(replica.name, replica.log_cursor, limit=LINES_A_READ)
    held = Replica.objects.filter(pk=replica.pk, log_cursor=replica.log_cursor)
    if not chunk.lines:
        if gone:
            complete(replica)
        else:
            held.exclude(log_cursor=chunk.cursor).update(log_cursor=chunk.cursor)
        return 0
    with transaction.atomic():
        if not held.update(log_cursor=chunk.cursor):
            return 0
        head = held_head(replica.deployment_id)
        write_lines(head, within_limits(head, parsed(chunk.lines)))
    replica.log_cursor = chunk.cursor
    return len(chunk.lines)


def complete(replica: Replica) -> None:
    """Note that a replica which is gone was read to its end, then let its provider remove the log (which it does some day anyway)."""
    Replica.objects.filter(pk=replica.pk).update(log_complete=True)
    reader = provider(replica.backend)
    if isinstance(reader, LogPositions):
        try:
            reader.drop_logs(replica.name)
        except ProviderError as error:
            logger.info("log of %s is not removed yet: %s", replica.name, error)


def parsed(texts: Iterable[str]) -> Iterable[NewLine]:
    """Yield the lines of a chunk, with times that can be: what a workflow prints may claim any."""
    now = milliseconds(clock.now())
    oldest = now - int(timedelta(days=settings.LOG_RETENTION_DAYS).total_seconds() * 1000)
    for text in texts:
        line = parse_line(text)
        if oldest < line.timestamp <= now + AHEAD_MS:
            yield line
        else:
            yield NewLine(now, line.level, line.message, line.source, line.run, line.duration_ms)


def parse_line(text: str) -> NewLine:
    """Return a runtime's JSON line; anything unreadable becomes a message of its own."""
    try:
        found = json.loads(text)
        message = str(found["message"])
        if found.get("traceback"):
            message = f"{message}\n{found['traceback']}"
        level = found["level"] if found["level"] in LEVELS else "INFO"
        run = UUID(found["run"]) if found.get("run") else None
        return NewLine(int(found["ts"]), level, message, "run", run=run, duration_ms=duration_in(found))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return NewLine(timestamp=milliseconds(clock.now()), level="WARNING", message=text, source="run")


def duration_in(found: Mapping[str, Any]) -> float | None:
    """Return a line's duration; infinities are none, for JSON cannot show them."""
    value = float(found["duration_ms"]) if found.get("duration_ms") is not None else None
    return value if value is not None and math.isfinite(value) else None


def take_turn() -> str | None:
    """Return a token if nobody else fetches at the moment. A worker that dies is waited for ten seconds."""
    token = str(uuid7())
    try:
        return token if valkey().set(TURN, token, nx=True, px=TURN_MS) else None
    except redis.RedisError:
        return token


def end_turn(token: str) -> None:
    """Let the next one fetch; a turn that ran out is somebody else's by now."""
    try:
        if valkey().get(TURN) == token.encode():
            valkey().delete(TURN)
    except redis.RedisError as error:
        logger.info("the turn to fetch logs runs out by itself: %s", error)
