"""Calendar months, counted from an anchor: 31 January, 28 February, 31 March."""

from __future__ import annotations

from datetime import datetime, timedelta

from dateutil.relativedelta import relativedelta

MINUTE = timedelta(minutes=1)


def whole_minute(moment: datetime) -> datetime:
    """Return the start of the minute. Grants begin and end at full minutes, so that no minute of usage has two sets of them."""
    return moment.replace(second=0, microsecond=0)


def months_after(anchor: datetime, months: int) -> datetime:
    """Return the moment so many calendar months after the anchor; a day that the month lacks becomes its last one."""
    moved: datetime = anchor + relativedelta(months=months)
    return moved


def period_at(anchor: datetime, months: int, moment: datetime) -> tuple[datetime, datetime]:
    """Return start and end of the period of `months` that a moment is in, counted from the anchor; the first one for earlier moments."""
    passed = (moment.year - anchor.year) * 12 + moment.month - anchor.month
    number = max(0, passed // months - 1)
    while months_after(anchor, (number + 1) * months) <= moment:
        number += 1
    return months_after(anchor, number * months), months_after(anchor, (number + 1) * months)
