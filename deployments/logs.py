"""Log lines: from builds, and from replicas by cursor, each exactly once and in one order for a deployment."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from deployments.models import LogHead, LogLine, Replica
from deployments.providers.base import LogReader, ProviderError
from deployments.providers.registry import provider
from deployments.states import ReplicaStatus

logger = logging.getLogger(__name__)

LEVELS = ("INFO", "WARNING", "ERROR")
LINES_A_READ = 2000
READS_A_TICK = 5
KEPT = timedelta(days=30)
MESSAGE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line to append. `timestamp` is milliseconds since 1970 where it was written."""

    timestamp: int
    level: str
    message: str
    source: str
    run: UUID | None = None
    duration_ms: float | None = None


def append_lines(deployment_id: UUID, lines: Iterable[NewLine]) -> None:
    """Append lines to a deployment's log inside the caller's transaction.

    Times are moved up by milliseconds where needed, so that they rise strictly: a reader that goes on from the last time it saw
    misses nothing, even lines that came late from another machine.
    """
    head, _ = LogHead.objects.select_for_update(no_key=True).get_or_create(deployment_id=deployment_id)
    rows = []
    for line in lines:
        head.last_ms = max(line.timestamp, head.last_ms + 1)
        rows.append(
            LogLine(
                deployment_id=deployment_id,
                timestamp=head.last_ms,
                level=line.level,
                source=line.source,
                message=line.message[:MESSAGE_LIMIT].replace("\x00", ""),
                run=line.run,
                duration_ms=line.duration_ms,
            )
        )
    LogLine.objects.bulk_create(rows, batch_size=1000)
    head.save(update_fields=["last_ms"])


def append_build_log(deployment_id: UUID, log: Sequence[Sequence[int | str]]) -> None:
    """Append a build's lines to the log of the deployment that it was made for."""
    lines = [NewLine(timestamp=int(time), level=str(level), message=str(message), source="build") for time, level, message in log]
    with transaction.atomic():
        append_lines(deployment_id, lines)


def tail_logs() -> int:
    """Fetch what all replicas have printed since the last time; return the number of lines. A provider that fails is tried again later."""
    total = 0
    for replica in Replica.objects.filter(log_complete=False).order_by("created_at"):
        try:
            for _ in range(READS_A_TICK):
                count = tail_replica(replica)
                total += count
                if count < LINES_A_READ:
                    break
        except ProviderError as error:
            logger.info("logs of %s: %s", replica.name, error)
    return total


def tail_replica(replica: Replica) -> int:
    """Fetch one chunk. Cursor and lines are written together, and only if nobody moved the cursor in between."""
    reader = provider(replica.backend)
    if not isinstance(reader, LogReader):
        return 0
    # Read before the logs: what a replica printed before it was gone is then surely in the chunk.
    gone = replica.status == ReplicaStatus.TERMINATED
    chunk = reader.read_logs(replica.name, replica.log_cursor, limit=LINES_A_READ)
    if not chunk.lines:
        if gone:
            Replica.objects.filter(pk=replica.pk).update(log_complete=True)
        return 0
    with transaction.atomic():
        held = Replica.objects.filter(pk=replica.pk, log_cursor=replica.log_cursor)
        if not held.update(log_cursor=chunk.cursor):
            return 0
        append_lines(replica.deployment_id, map(parse_line, chunk.lines))
    replica.log_cursor = chunk.cursor
    return len(chunk.lines)


def parse_line(text: str) -> NewLine:
    """Return a runtime's JSON line; anything unreadable becomes a message of its own."""
    try:
        found = json.loads(text)
        message = str(found["message"])
        if found.get("traceback"):
            message = f"{message}\n{found['traceback']}"
        level = found["level"] if found["level"] in LEVELS else "INFO"
        run = UUID(found["run"]) if found.get("run") else None
        duration = float(found["duration_ms"]) if found.get("duration_ms") is not None else None
        return NewLine(timestamp=int(found["ts"]), level=level, message=message, source="run", run=run, duration_ms=duration)
    except (ValueError, TypeError, KeyError, AttributeError):
        return NewLine(timestamp=milliseconds(clock.now()), level="WARNING", message=text, source="run")


def prune_logs() -> int:
    """Delete execution logs that are older than 30 days; return how many."""
    oldest = milliseconds(clock.now() - KEPT)
    total = 0
    while True:
        batch = list(LogLine.objects.filter(timestamp__lt=oldest).values_list("pk", flat=True)[:10_000])
        if not batch:
            return total
        total += LogLine.objects.filter(pk__in=batch).delete()[0]
