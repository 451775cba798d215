"""Logs as the API reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import OperationalError, connection, transaction

from controlplane.common.errors import InvalidInput
from deployments.models import LogHead, LogLine

# A search reads every line of its period; beyond this time it takes more of the database than an answer is worth.
SEARCH_SECONDS = 5


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which lines: from `start` to `end` (ms since 1970, both included), of a level, of at least a level, of a source, of a run, with a text."""

    limit: int
    start: int | None = None
    end: int | None = None
    level: str | None = None
    min_level: str | None = None
    source: str | None = None
    run: UUID | None = None
    search: str | None = None


def read_log(deployment_id: UUID, wanted: LogRequest) -> dict[str, Any]:
    """Return `{"logs", "end"}` in order of time: the first `limit` lines from `start` on, or the newest ones without a start.

    `end` is the time of the last line; going on from `end + 1` misses nothing, for times are unique and rise as lines arrive.
    Raises InvalidInput when a search takes too long.
    """
    rows = matching(deployment_id, wanted).order_by("timestamp" if wanted.start is not None else "-timestamp")[: wanted.limit]
    lines = searched(rows) if wanted.search else list(rows)
    if wanted.start is None:
        lines.reverse()
    last = lines[-1].timestamp if lines else max((wanted.start or 1) - 1, 0)
    return {"logs": lines, "end": last}


def matching(deployment_id: UUID, wanted: LogRequest) -> Any:
    """Return the rows that are asked for. What the partial indexes are made for is said in their own words."""
    rows = LogLine.objects.filter(deployment_id=deployment_id)
    if wanted.start is not None:
        rows = rows.filter(timestamp__gte=wanted.start)
    if wanted.end is not None:
        rows = rows.filter(timestamp__lte=wanted.end)
    if wanted.level is not None:
        rows = rows.filter(level=wanted.level)
    if wanted.min_level == "WARNING":
        rows = rows.exclude(level="INFO")
    elif wanted.min_level == "ERROR":
        rows = rows.filter(level="ERROR")
    if wanted.source is not None:
        rows = rows.filter(source=wanted.source)
    if wanted.run is not None:
        rows = rows.filter(run=wanted.run)
    if wanted.search:
        rows = rows.filter(message__icontains=wanted.search)
    return rows


def searched(rows: Any) -> list[LogLine]:
    """Return the lines of a search, which may take five seconds. Raises InvalidInput."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{SEARCH_SECONDS}s'")
            return list(rows)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "57014":
            raise
        advice = "Ask for a shorter period with 'start' and 'end', for a run, or for a level."
        raise InvalidInput("search_too_long", f"The search took more than {SEARCH_SECONDS} seconds. {advice}") from error


def newest_time(deployment_id: UUID) -> int:
    """Return the time of a deployment's last line in ms since 1970, 0 before the first; all lines up to it can be read."""
    return LogHead.objects.filter(pk=deployment_id).values_list("last_ms", flat=True).first() or 0
