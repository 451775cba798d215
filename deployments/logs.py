"""Log lines: each exactly once and in one order for a deployment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from deployments.models import LogHead, LogLine

LEVELS = ("INFO", "WARNING", "ERROR")
SOURCES = ("build", "run")
MESSAGE_LIMIT = 64 * 1024
CUT = "\n… (cut: {length} characters)"


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
    write_lines(held_head(deployment_id), lines)


def held_head(deployment_id: UUID) -> LogHead:
    """Return the head of a deployment's log, which nobody else can append to until the transaction ends."""
    head, _ = LogHead.objects.select_for_update(no_key=True).get_or_create(deployment_id=deployment_id)
    return head


def write_lines(head: LogHead, lines: Iterable[NewLine]) -> None:
    """Append lines to the log whose head is held, and save the head."""
    rows = []
    for line in lines:
        head.last_ms = max(line.timestamp, head.last_ms + 1)
        rows.append(
            LogLine(
                deployment_id=head.deployment_id,
                timestamp=head.last_ms,
                level=line.level,
                source=line.source,
                message=storable(line.message),
                run=line.run,
                duration_ms=line.duration_ms,
            )
        )
    LogLine.objects.bulk_create(rows, batch_size=1000)
    head.save()


def storable(message: str) -> str:
    """Return a text that PostgreSQL takes: no NUL, no half of a character, and an end; what is cut off is told."""
    text = message.replace("\x00", "").encode("utf-8", "replace").decode()
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + CUT.format(length=len(text))
