"""Serverless runs into charges: by deployment, price and minute; free runs of the legacy plan one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from billing.charging import Charge, charge
from billing.checkpoints import checkpoint
from billing.models import Unit
from billing.prices import price_ids
from billing.pricing import Price
from billing.wallets import lock_wallets
from controlplane.common.arrays import array_text

MINUTE = timedelta(minutes=1)
HITS = """
SELECT wallet_id, sum(amount - spent)::bigint, max(starts_at) FROM billing_grant
WHERE wallet_id = ANY(%s::uuid[]) AND unit = 2 AND spent < amount GROUP BY wallet_id
"""
PAYING_BY_RUN = """
SELECT DISTINCT deployment_id FROM billing_grant JOIN billing_billeddeployment USING (wallet_id)
WHERE unit = 2 AND deployment_id = ANY(%s::uuid[])
"""
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


def paying_by_run(deployment_ids: Iterable[UUID | str]) -> set[UUID]:
    """Return those of the deployments whose workspace has free runs: their runs have to come one by one."""
    with connection.cursor() as cursor:
        cursor.execute(PAYING_BY_RUN, [array_text(deployment_ids)])
        return {pk for (pk,) in cursor.fetchall()}


def wallets_of(deployment_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return the wallet of each deployment that billing knows."""
    with connection.cursor() as cursor:
        cursor.execute(WALLETS, [array_text(deployment_ids)])
        return dict(cursor.fetchall())


def charge_runs(used: Sequence[RunsUsed], *, one_by_one: Collection[UUID] = ()) -> set[UUID]:
    """Charge runs, in the present transaction; return the deployments that no wallet is known of, whose runs are not charged.

    `one_by_one` are the deployments whose runs come one by one (`paying_by_run`).
    """
    checkpoint("runs_written")
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
    """Return the runs that free runs pay for: as many as there are, in the order of their ids. Call it under the wallets' locks."""
    with connection.cursor() as cursor:
        cursor.execute(HITS, [array_text(set(wallets.values()))])
        rows = cursor.fetchall()
    left = {wallet: hits for wallet, hits, _ in rows}
    since = {wallet: start for wallet, _, start in rows}
    free: set[RunsUsed] = set()
    for one in sorted((one for one in used if wallets[one.deployment_id] in left), key=lambda one: one.first):
        wallet = wallets[one.deployment_id]
        if one.runs == 1 and left[wallet] > 0 and one.minute >= since[wallet]:
            left[wallet] -= 1
            free.add(one)
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
