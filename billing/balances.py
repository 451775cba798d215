"""How many credits there are: now, available, and at any moment of the past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from billing.models import Unit
from controlplane.common import clock
from controlplane.common.arrays import array_text

# Grants that are valid now less what is spent of them; and what is held.
STANDING = """
SELECT wallet.id,
    COALESCE((SELECT sum(amount - spent) FROM billing_grant
        WHERE wallet_id = wallet.id AND unit = 1 AND spent < amount AND starts_at <= %(now)s AND expires_at > %(now)s), 0)::bigint,
    COALESCE((SELECT sum(amount) FROM billing_hold WHERE wallet_id = wallet.id AND released_at IS NULL), 0)::bigint,
    COALESCE((SELECT sum(amount - spent) FROM billing_grant
        WHERE wallet_id = wallet.id AND unit = 2 AND spent < amount AND starts_at <= %(now)s AND expires_at > %(now)s), 0)::bigint
FROM unnest(%(wallets)s::uuid[]) AS wallet (id)
"""
# From the nearer end of each grant that was valid then: what it has left now and what was taken from it since, or what it was and what was taken
# before. Whole hours from their sums, the rest of the hour from the postings.
AT = """
WITH granted AS MATERIALIZED (
    SELECT id, amount, amount - spent AS remains, %(at)s - starts_at < %(now)s - %(at)s AS young FROM billing_grant
    WHERE wallet_id = %(wallet)s AND unit = %(unit)s AND starts_at <= %(at)s AND expires_at > %(at)s
)
SELECT (
    COALESCE(sum(CASE WHEN young THEN amount - taken ELSE remains + taken END), 0)
    - COALESCE((SELECT sum(amount) FROM billing_posting
        WHERE wallet_id = %(wallet)s AND source = 1 AND unit = %(unit)s AND expires_at > %(at)s
        AND booked_at >= date_trunc('hour', %(at)s, 'UTC') AND booked_at <= %(at)s), 0)
)::bigint
FROM granted, LATERAL (
    SELECT COALESCE(sum(hours.amount), 0) AS taken FROM billing_hourlyspend hours WHERE hours.grant_id = granted.id
        AND hours.hour >= CASE WHEN young THEN '-infinity' ELSE date_trunc('hour', %(at)s, 'UTC') END
        AND hours.hour < CASE WHEN young THEN date_trunc('hour', %(at)s, 'UTC') ELSE 'infinity' END
) AS counted
"""
FROM_POSTINGS = """
SELECT COALESCE(sum(CASE WHEN target = 1 THEN amount ELSE -amount END), 0)::bigint FROM billing_posting
WHERE wallet_id = %s AND unit = %s AND (source = 1 OR target = 1) AND booked_at <= %s AND expires_at > %s
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a wallet stands, in micro-credits: what its grants have left and what of it is held. `hits` are free serverless runs."""

    balance: int
    held: int
    hits: int

    @property
    def available(self) -> int:
        """Return what can be spent on something new; below zero while what is held is used up."""
        return self.balance - self.held


def standing_of(wallet_id: UUID) -> Standing:
    """Return how a wallet stands now."""
    return standings([wallet_id])[wallet_id]


def standings(wallet_ids: Iterable[UUID], *, now: datetime | None = None) -> dict[UUID, Standing]:
    """Return how these wallets stand, in one question."""
    with connection.cursor() as cursor:
        cursor.execute(STANDING, {"wallets": array_text(wallet_ids), "now": now or clock.now()})
        return {pk: Standing(balance, held, hits) for pk, balance, held, hits in cursor.fetchall()}


def balance_at(wallet_id: UUID, moment: datetime, *, unit: Unit = Unit.MICRO_CREDIT) -> int:
    """Return the balance at a moment, in micro-credits: what was valid then and not spent until then. Charges count from the start of their time."""
    with connection.cursor() as cursor:
        cursor.execute(AT, {"wallet": wallet_id, "at": moment, "now": clock.now(), "unit": unit.value})
        return int(cursor.fetchone()[0])


def balance_from_postings(wallet_id: UUID, moment: datetime, *, unit: Unit = Unit.MICRO_CREDIT) -> int:
    """Return the same from the postings alone, however many there are: what `balance_at` is checked against."""
    with connection.cursor() as cursor:
        cursor.execute(FROM_POSTINGS, [wallet_id, unit.value, moment, moment])
        return int(cursor.fetchone()[0])
