"""Logs as the API reads them."""

from __future__ import annotations

from typing import Any

from deployments.models import Deployment, LogLine


def read_log(deployment: Deployment, *, start: int | None, end: int | None, level: str | None, limit: int) -> dict[str, Any]:
    """Return `{"logs", "end"}` in order of time: the first `limit` lines from `start` on, or the newest ones without a start.

    `end` is the time of the last line; going on from `end + 1` misses nothing, for times are unique and rise as lines arrive.
    """
    rows = LogLine.objects.filter(deployment=deployment)
    if start is not None:
        rows = rows.filter(timestamp__gte=start)
    if end is not None:
        rows = rows.filter(timestamp__lte=end)
    if level:
        rows = rows.filter(level=level)
    lines = list(rows.order_by("timestamp" if start is not None else "-timestamp")[:limit])
    if start is None:
        lines.reverse()
    last = lines[-1].timestamp if lines else max((start or 1) - 1, 0)
    return {"logs": lines, "end": last}
