"""Instances that had stopped before their provider told so: what was charged meanwhile is given back."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing.grants import correct_charge, paid_for
from billing.models import EntryKind, LedgerEntry

logger = logging.getLogger(__name__)
SECOND = timedelta(seconds=1)
FIRST_BEYOND = "SELECT min(lower(span)) FROM billing_billedspan WHERE resource_id = %s AND span && tstzrange(%s, NULL)"


class Closed(NamedTuple):
    """An instance whose account was closed: it was charged from `started_at` to `billed_until`, and ended at `ended_at`."""

    pk: UUID
    deployment_id: UUID
    started_at: datetime
    billed_until: datetime | None
    ended_at: datetime


def give_back_excess(closed: Closed) -> int:
    """Give back what was charged beyond the last whole second of an instance; return the micro-credits. Call it under the wallet's lock.

    A charge that was corrected before is left: operators have looked at it.
    """
    due = closed.started_at + max(timedelta(0), (closed.ended_at - closed.started_at) // SECOND * SECOND)
    if closed.billed_until is None or closed.billed_until <= due:
        return 0
    return sum(give_back(entry, due) for entry in charges_beyond(closed, due))


def charges_beyond(closed: Closed, due: datetime) -> Any:
    """Return the charges of an instance that reach beyond a moment."""
    with connection.cursor() as cursor:
        cursor.execute(FIRST_BEYOND, [closed.pk, due])
        (first,) = cursor.fetchone()
    rows = LedgerEntry.objects.filter(deployment_id=closed.deployment_id, booked_at__gte=first or due, to_at__gt=due)
    return rows.filter(kind=EntryKind.CHARGE, key__endswith=f":{closed.pk}").select_related("price").order_by("booked_at")


def give_back(entry: LedgerEntry, due: datetime) -> int:
    """Give back what a workspace paid for the seconds of a charge that lie beyond a moment; what the platform bore is not theirs."""
    if entry.price is None or entry.from_at is None or entry.to_at is None:
        return 0
    if hasattr(entry, "reversed_by"):
        logger.warning("charge %s reaches beyond the end of its instance and was corrected before", entry.pk)
        return 0
    seconds = (entry.to_at - max(entry.from_at, due)) // SECOND
    owed = entry.amount - seconds * entry.price.micro_credits
    excess = paid_for(entry.pk) - owed
    if excess <= 0:
        return 0
    correct_charge(entry_id=entry.pk, amount=excess, reason=f"The instance had stopped {seconds} s before the end of this time.")
    return excess
