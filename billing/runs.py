"""Serverless runs into charges: by deployment, price and minute; free runs of the legacy plan one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.caps import review_caps
from billing.charging import CHARGE, Charge, boundaries_between, charge
from billing.checkpoints import checkpoint
from billing.funding import review_wallets, tell_changes
from billing.models import Unit
from billing.prices import Product, price_ids
from billing.pricing import Price
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.arrays import array_text

MINUTE = timedelta(minutes=1)
HITS = """
SELECT wallet_id, starts_at, expires_at, amount - spent FROM billing_grant
WHERE wallet_id = ANY(%s::uuid[]) AND unit = 2 AND spent < amount ORDER BY expires_at, id
"""
PAYERS = """
WITH payer AS MATERIALIZED (
    SELECT deployment_id, wallet_id FROM billing_billeddeployment WHERE deployment_id = ANY(%s::uuid[])
), locked AS MATERIALIZED (
    SELECT id FROM billing_wallet WHERE id IN (SELECT wallet_id FROM payer) ORDER BY id FOR NO KEY UPDATE
)
SELECT deployment_id::text, wallet_id::text, wallet_id IN (
    SELECT wallet_id FROM billing_grant WHERE unit = 2 AND spent < amount AND expires_at > %s AND wallet_id IN (SELECT id FROM locked)
)
FROM payer JOIN locked ON locked.id = wallet_id
"""
FROM_MINUTES = """(
    SELECT 'runs:' || first, wallet_id, minutes.deployment_id, price.id, duration_ms, micro_credits, minute, minute + interval '1 minute',
        row_number() OVER (ORDER BY first)
    FROM minutes JOIN billing_billeddeployment USING (deployment_id)
    JOIN unnest(%(products)s::text[], %(prices)s::bigint[]) AS price (product, id) USING (product) WHERE micro_credits > 0
)"""
WALLETS = "SELECT deployment_id, wallet_id FROM billing_billeddeployment WHERE deployment_id = ANY(%s::uuid[])"


@dataclass(frozen=True, slots=True)
class RunsUsed:
    """Runs of a deployment that ended in a minute of UTC: `milliseconds` of execution in all. `first` is the smallest of their ids.

    They were counted for the first time just now, in the present transaction: that is what makes their charge the only one.
    """

    deployment_id: UUID
    product: str
    rate: Price
    minute: datetime
    runs: int
    milliseconds: int
    first: str


@dataclass(frozen=True, slots=True)
class Payers:
    """Who pays for runs of some deployments, by the deployments' ids: `at_once` those whose runs can be charged as they are written,
    `one_by_one` those whose workspace has free runs. The others are charged by `charge_runs`.
    """

    at_once: set[str]
    one_by_one: set[str]


def lock_payers(deployment_ids: Iterable[str], *, first: datetime, last: datetime) -> Payers:
    """Lock the wallets of deployments whose runs ended in the minutes from `first` to `last`: before anything of the runs is written, so that
    nobody who has written some waits for somebody who waits for these.
    """
    with connection.cursor() as cursor:
        cursor.execute(PAYERS, [array_text(deployment_ids), first])
        rows = cursor.fetchall()
    checkpoint("payers_locked")
    divided = {str(wallet) for wallet in boundaries_between({wallet for _, wallet, _ in rows}, first=first, last=last)}
    return Payers(
        at_once={deployment for deployment, wallet, by_run in rows if not by_run and wallet not in divided},
        one_by_one={deployment for deployment, _, by_run in rows if by_run},
    )


def charge_written(writing: str, given: Mapping[str, Any], *, products: Iterable[Product]) -> int:
    """Write runs and charge them in one statement; return how many were new. For deployments that are to be charged `at_once`.

    `writing` has the parts of a WITH query that write them: `fresh`, the new ones, and `minutes`, their sums by deployment, product and minute
    (duration_ms, micro_credits, first); `given` are its values. `products` are those of the runs, at their prices.
    """
    prices = price_ids(products)
    values: dict[str, Any] = {
        "products": array_text(code for code, _ in prices),
        "prices": array_text(prices.values()),
        "unit": Unit.MICRO_CREDIT.value,
    }
    with connection.cursor() as cursor:
        text = CHARGE.format(before=f"{writing},", given=FROM_MINUTES, counted="(SELECT count(*) FROM fresh)")
        cursor.execute(text, {**given, **values})
        new, payers = cursor.fetchone()
    if payers:
        review_wallets(payers)
        review_caps(payers)
    checkpoint("runs_charged")
    return int(new)


def wallets_of(deployment_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return the wallet of each deployment that billing knows."""
    with connection.cursor() as cursor:
        cursor.execute(WALLETS, [array_text(deployment_ids)])
        return dict(cursor.fetchall())


def charge_runs(used: Sequence[RunsUsed], *, one_by_one: Collection[UUID] = ()) -> set[UUID]:
    """Charge runs, in the present transaction; return the deployments that no wallet is known of, whose runs are not charged.

    `one_by_one` are the deployments whose runs come one by one (`lock_payers`).
    """
    paid = [one for one in used if one.milliseconds]
    wallets = wallets_of({one.deployment_id for one in paid})
    prices = price_ids({(one.product, one.rate) for one in paid})
    known = [one for one in paid if one.deployment_id in wallets]
    with transaction.atomic(savepoint=False):
        lock_wallets(wallets.values())
        free = take_hits([one for one in known if one.deployment_id in one_by_one], wallets) if one_by_one else set()
        hits = [charge_of(one, wallets[one.deployment_id], prices[one.product, one.rate], hits=True) for one in free]
        charge(hits, unit=Unit.HIT, locked=True)
        paid_for = [one for one in known if not free or one not in free]
        charge([charge_of(one, wallets[one.deployment_id], prices[one.product, one.rate]) for one in paid_for], locked=True)
    checkpoint("runs_charged")
    return {one.deployment_id for one in paid} - wallets.keys()


def take_hits(used: Sequence[RunsUsed], wallets: dict[UUID, UUID]) -> set[RunsUsed]:
    """Return the runs that free runs pay for: as many as are valid then, in the order of their times. Call it under the wallets' locks."""
    with connection.cursor() as cursor:
        cursor.execute(HITS, [array_text(set(wallets.values()))])
        grants: dict[UUID, list[list[Any]]] = {}
        for wallet, *grant in cursor.fetchall():
            grants.setdefault(wallet, []).append(grant)
    free: set[RunsUsed] = set()
    for one in sorted(used, key=lambda one: (one.minute, one.first)):
        # As the charging statement takes them: of those that are valid, the one that ends first.
        valid = (grant for grant in grants.get(wallets[one.deployment_id], ()) if grant[0] <= one.minute < grant[1] and grant[2])
        grant = next(valid, None) if one.runs == 1 else None
        if grant is not None:
            grant[2] -= 1
            free.add(one)
    # Who has no credits may run until the last free run is taken: the word goes out with it.
    now = clock.now()
    tell_changes([wallet for wallet, left in grants.items() if not any(number for _, ends, number in left if ends > now)])
    return free


def charge_of(used: RunsUsed, wallet_id: UUID, price_id: int, *, hits: bool = False) -> Charge:
    """Return the charge of the runs of a minute."""
    return Charge(
        key=f"runs:{used.first}",
        wallet_id=wallet_id,
        deployment_id=used.deployment_id,
        price_id=price_id,
        quantity=used.milliseconds,
        amount=used.runs if hits else used.milliseconds * used.rate.micro_credits,
        from_at=used.minute,
        to_at=used.minute + MINUTE,
    )
