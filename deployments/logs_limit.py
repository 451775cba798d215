"""How much the replicas of a deployment may log in a minute. What goes beyond is left out, and the log says so."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db import transaction

from controlplane.common import clock
from controlplane.common.clock import milliseconds
from deployments.logs import NewLine, held_head, write_lines
from deployments.models import LogHead

MINUTE_MS = 60_000
MEGABYTE = 1024 * 1024


def within_limits(head: LogHead, lines: Iterable[NewLine]) -> list[NewLine]:
    """Return what is to be written of these lines, and count it in the head, which the caller holds and saves.

    A minute's limit is also what keeps the times in a log true: they rise by a millisecond a line, and no minute has more of them than that.
    """
    kept = turn_minute(head)
    for line in lines:
        if head.skipped_lines or is_full(head, line):
            if not head.skipped_lines:
                kept.append(notice(f"More than {limits()} were written in a minute. What follows in this minute is left out."))
            head.skipped_lines += 1
            continue
        head.minute_lines += 1
        head.minute_bytes += len(line.message)
        kept.append(line)
    return kept


def turn_minute(head: LogHead) -> list[NewLine]:
    """Begin to count anew when a new minute has begun; return the line that tells what was left out of the former one."""
    minute = milliseconds(clock.now()) // MINUTE_MS
    if minute == head.minute:
        return []
    skipped, head.skipped_lines = head.skipped_lines, 0
    head.minute, head.minute_lines, head.minute_bytes = minute, 0, 0
    return [notice(f"{skipped} lines were left out: there is room for {limits()} in a minute.")] if skipped else []


def tell_skipped() -> None:
    """Say what was left out of logs that have been silent since."""
    minute = milliseconds(clock.now()) // MINUTE_MS
    for pk in LogHead.objects.filter(skipped_lines__gt=0).exclude(minute=minute).values_list("pk", flat=True):
        with transaction.atomic():
            head = held_head(pk)
            write_lines(head, turn_minute(head))


def is_full(head: LogHead, line: NewLine) -> bool:
    """Tell whether a line has no room in this minute."""
    size: int = settings.LOG_MEGABYTES_A_MINUTE * MEGABYTE
    return head.minute_lines >= settings.LOG_LINES_A_MINUTE or head.minute_bytes + len(line.message) > size


def limits() -> str:
    """Return the limits in words."""
    return f"{settings.LOG_LINES_A_MINUTE} lines or {settings.LOG_MEGABYTES_A_MINUTE} MB"


def notice(message: str) -> NewLine:
    """Return a line of the service itself."""
    return NewLine(timestamp=milliseconds(clock.now()), level="WARNING", message=message, source="run")
