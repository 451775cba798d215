"""Serverless runs into charges: by deployment, price and minute; free runs of the legacy plan one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from billing.charging import Charge, charge
from billing.checkpoints import checkpoint
from billing.models import BilledDeployment, Unit
from billing.prices import price_ids
from billing.pricing import Price
from billing.wallets import lock_wallets

MINUTE = timedelta(minutes=1)
HITS = """
SELECT wallet_id, sum(amount - spent)::bigint, max(starts_at) FROM billing_grant
WHERE wallet_id = ANY(%s) AND unit = 2 AND spent < amount GROUP BY wallet_id
"""


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
    rows = BilledDeployment.objects.filter(deployment_id__in=set(deployment_ids), wallet__grants__unit=Unit.HIT)
    return set(rows.values_list("deployment_id", flat=True).distinct())


def charge_runs(used: Sequence[RunsUsed]) -> set[UUID]:
    """Charge runs, in the present transaction; return the deployments that no wallet is known of, whose runs are not charged."""
    checkpoint("runs_written")
    paid = [one for one in used if one.milliseconds]
    wallets = dict(
        BilledDeployment.objects.filter(deployment_id__in={one.deployment_id for one in paid}).values_list("deployment_id", "wallet_id")
    )
    prices = price_ids({(one.product, one.rate) for one in paid})
    known = [one for one in paid if one.deployment_id in wallets]
    with transaction.atomic(savepoint=False):
        lock_wallets(wallets.values())
        free = take_hits(known, wallets)
        charge([charge_of(one, wallets[one.deployment_id], prices[one.product, one.rate], hits=True) for one in free], unit=Unit.HIT)
        charge([charge_of(one, wallets[one.deployment_id], prices[one.product, one.rate]) for one in known if one not in free])
    checkpoint("runs_charged")
    return {one.deployment_id for one in paid} - wallets.keys()


def take_hits(used: Sequence[RunsUsed], wallets: dict[UUID, UUID]) -> set[RunsUsed]:
    """Return the runs that free runs pay for: as many as there are, in the order of their ids. Call it under the wallets' locks."""
    with connection.cursor() as cursor:
        cursor.execute(HITS, [list(set(wallets.values()))])
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
