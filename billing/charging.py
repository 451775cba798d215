"""The charging statement: charges go to the grants of their wallets, the earliest expiry first, all in one question to PostgreSQL.

Whoever calls has made sure that each charge is new (usage by its run id, spans by their exclusion), in the same transaction. What no grant covers
is borne by the platform (WRITE_OFF): a wallet cannot go below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.caps import review_caps
from billing.funding import review_wallets
from billing.models import Unit
from billing.wallets import lock_wallets
from controlplane.common.arrays import array_text

# Charges and grants as lengths on one line for each wallet: charge n lies from lo to hi, so do the grants by expiry, and where two overlap is what the
# one takes of the other. Behind the last grant lies the platform, without an end.
CHARGE = """
WITH {before} charge AS (
    SELECT key, wallet, deployment, price, quantity, amount, from_at, to_at, n,
        sum(amount) OVER (PARTITION BY wallet ORDER BY from_at, n)::bigint AS hi
    FROM {given} AS given (key, wallet, deployment, price, quantity, amount, from_at, to_at, n)
), numbered AS MATERIALIZED (
    SELECT *, hi - amount AS lo, nextval('billing_ledgerentry_id_seq') AS entry FROM charge
), payer AS (
    SELECT wallet, min(from_at) AS since FROM charge GROUP BY wallet
), remaining AS MATERIALIZED (
    SELECT payer.wallet, found.id, found.expires_at, found.amount - found.spent AS remains,
        sum(found.amount - found.spent) OVER (PARTITION BY payer.wallet ORDER BY found.expires_at, found.id)::bigint AS hi
    FROM payer JOIN billing_grant found ON found.wallet_id = payer.wallet AND found.unit = %(unit)s AND found.spent < found.amount
        AND found.starts_at <= payer.since AND found.expires_at > payer.since
), source AS (
    SELECT wallet, id, expires_at, hi - remains AS lo, hi FROM remaining
    UNION ALL
    SELECT payer.wallet, NULL, '9999-12-31Z'::timestamptz, COALESCE(max(remaining.hi), 0), 9223372036854775807
    FROM payer LEFT JOIN remaining USING (wallet) GROUP BY payer.wallet
), part AS MATERIALIZED (
    SELECT numbered.entry, numbered.wallet, numbered.deployment, numbered.price, numbered.from_at, source.id AS grant_id, source.expires_at,
        LEAST(numbered.hi, source.hi) - GREATEST(numbered.lo, source.lo) AS amount
    FROM numbered JOIN source ON source.wallet = numbered.wallet AND numbered.hi > source.lo AND source.hi > numbered.lo
), entries AS (
    INSERT INTO billing_ledgerentry (id, wallet_id, kind, key, booked_at, amount, deployment_id, price_id, quantity, from_at, to_at)
    SELECT entry, wallet, 'CHARGE', key, from_at, amount, deployment, price, quantity, from_at, to_at FROM numbered
), postings AS (
    INSERT INTO billing_posting (entry_id, wallet_id, unit, source, target, grant_id, amount, booked_at, expires_at)
    SELECT entry, wallet, %(unit)s, CASE WHEN grant_id IS NULL THEN 5 ELSE 1 END, 2, grant_id, amount, from_at, expires_at FROM part
), spent AS (
    UPDATE billing_grant SET spent = spent + taken.amount
    FROM (SELECT grant_id, sum(amount) AS amount FROM part WHERE grant_id IS NOT NULL GROUP BY grant_id) taken
    WHERE billing_grant.id = taken.grant_id
), hours AS (
    INSERT INTO billing_hourlyspend (grant_id, hour, amount)
    SELECT grant_id, date_trunc('hour', from_at, 'UTC'), sum(amount) FROM part WHERE grant_id IS NOT NULL GROUP BY 1, 2
    ON CONFLICT (grant_id, hour) DO UPDATE SET amount = billing_hourlyspend.amount + excluded.amount
), uncovered AS (
    SELECT entry, sum(amount) AS amount FROM part WHERE grant_id IS NULL AND %(unit)s = 1 GROUP BY entry
), days AS (
    INSERT INTO billing_dailyspend (wallet_id, deployment_id, price_id, day, quantity, amount, written_off)
    SELECT wallet, deployment, price, (from_at AT TIME ZONE 'UTC')::date, sum(quantity), sum(CASE WHEN %(unit)s = 1 THEN numbered.amount ELSE 0 END),
        sum(COALESCE(uncovered.amount, 0))
    FROM numbered LEFT JOIN uncovered USING (entry) GROUP BY 1, 2, 3, 4
    ON CONFLICT (wallet_id, deployment_id, price_id, day) DO UPDATE SET quantity = billing_dailyspend.quantity + excluded.quantity,
        amount = billing_dailyspend.amount + excluded.amount, written_off = billing_dailyspend.written_off + excluded.written_off
)
SELECT {counted}, array_agg(DISTINCT wallet)::text[] FROM numbered
"""
AS_ARRAYS = """unnest(%(key)s::text[], %(wallet_id)s::uuid[], %(deployment_id)s::uuid[], %(price_id)s::bigint[], %(quantity)s::bigint[],
    %(amount)s::bigint[], %(from_at)s::timestamptz[], %(to_at)s::timestamptz[]) WITH ORDINALITY"""
BOUNDARIES = """
SELECT wallet_id, starts_at FROM billing_grant
WHERE wallet_id = ANY(%(wallets)s::uuid[]) AND spent < amount AND starts_at > %(first)s AND starts_at <= %(last)s
UNION
SELECT wallet_id, expires_at FROM billing_grant
WHERE wallet_id = ANY(%(wallets)s::uuid[]) AND spent < amount AND expires_at > %(first)s AND expires_at <= %(last)s
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a deployment used: `quantity` milliseconds or seconds of a price from `from_at` to `to_at`, `amount` micro-credits in all.

    `key` makes the entry once. No grant begins or ends between the two times (see `cut` for those that are longer than a minute).
    """

    key: str
    wallet_id: UUID
    deployment_id: UUID
    price_id: int
    quantity: int
    amount: int
    from_at: datetime
    to_at: datetime


def charge(charges: Sequence[Charge], *, unit: Unit = Unit.MICRO_CREDIT, locked: bool = False) -> None:
    """Book charges, in the present transaction. Afterwards wallets and caps are looked at: who can pay no more is told at the commit.

    `locked`: the caller holds the wallets already.
    """
    paid = [one for one in charges if one.amount > 0]
    if not paid:
        return
    wallets = {one.wallet_id for one in paid}
    with transaction.atomic(savepoint=False):
        if not locked:
            lock_wallets(wallets)
        for phase in phases(paid, boundaries(paid)):
            run_statement(phase, unit)
        review_wallets(wallets)
        review_caps(wallets)


def run_statement(charges: Sequence[Charge], unit: Unit) -> None:
    """Book charges between which no grant of their wallets begins or ends."""
    names = ("key", "wallet_id", "deployment_id", "price_id", "quantity", "amount", "from_at", "to_at")
    columns = zip(*map(attrgetter(*names), charges), strict=True)
    given: dict[str, Any] = {name: array_text(values) for name, values in zip(names, columns, strict=True)}
    with connection.cursor() as cursor:
        cursor.execute(CHARGE.format(before="", given=AS_ARRAYS, counted="count(*)"), {**given, "unit": unit.value})


def boundaries(charges: Iterable[Charge]) -> dict[UUID, list[datetime]]:
    """Return when grants of these wallets begin or end while the charges go on, for the few that have such a moment."""
    charges = list(charges)
    span = {"first": min(one.from_at for one in charges), "last": max(one.from_at for one in charges)}
    return boundaries_between({one.wallet_id for one in charges}, **span)


def boundaries_between(wallets: Iterable[UUID | str], *, first: datetime, last: datetime) -> dict[UUID, list[datetime]]:
    """Return the moments after `first`, up to `last`, at which grants of these wallets begin or end; in order."""
    found: dict[UUID, list[datetime]] = {}
    if first == last:
        return found
    with connection.cursor() as cursor:
        cursor.execute(BOUNDARIES, {"wallets": array_text(wallets), "first": first, "last": last})
        for wallet, moment in cursor.fetchall():
            found.setdefault(wallet, []).append(moment)
    return found


def phases(charges: Sequence[Charge], moments: dict[UUID, list[datetime]]) -> list[list[Charge]]:
    """Return the charges in groups to book one after the other: in each, all of one wallet lie between the same two moments.

    One as-of for a whole batch would pay what was used just before a grant began from it.
    """
    if not moments:
        return [list(charges)]
    groups: dict[int, list[Charge]] = {}
    for one in charges:
        passed = sum(moment <= one.from_at for moment in moments.get(one.wallet_id, ()))
        groups.setdefault(passed, []).append(one)
    return [groups[number] for number in sorted(groups)]
