"""Deployments that are billed, and charges of theirs, without anything that runs."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from billing.charging import Charge, charge
from billing.models import BilledDeployment, MeteredResource, Price, Unit, Wallet
from billing.prices import price_ids
from billing.pricing import Price as Rate
from billing.pricing import Unit as PriceUnit
from controlplane.common import clock
from controlplane.common.ids import uuid7

NUMBERS = itertools.count(1)
CREDIT = 1_000_000
SERVERLESS = ("AWS SERVERLESS S", Rate(829, PriceUnit.MILLISECOND))
INSTANCE = ("AWS CLUSTER XS", Rate(4770, PriceUnit.SECOND))


def make_billed(
    wallet: Wallet, label: str = "", *, project_id: UUID | None = None, offer: str = "AWS FRANCE CLUSTER XS"
) -> BilledDeployment:
    """Return a deployment as bills name it."""
    fields = {"project_id": project_id or uuid7(), "label": label or f"quay/belts/flow{next(NUMBERS)}", "offer": offer}
    return BilledDeployment.objects.create(deployment_id=uuid7(), wallet=wallet, **fields)


def spend(
    deployment: BilledDeployment, quantity: int, *, product: Any = INSTANCE, at: datetime | None = None, unit: Unit = Unit.MICRO_CREDIT
) -> int:
    """Charge a quantity of a product from a moment on (default: now); return the amount."""
    rate: Rate = product[1]
    at = at or clock.now()
    lasted = timedelta(seconds=quantity) if rate.unit is PriceUnit.SECOND else timedelta(milliseconds=quantity)
    amount = 1 if unit is Unit.HIT else quantity * rate.micro_credits
    one = Charge(
        key=f"test:{next(NUMBERS)}",
        wallet_id=deployment.wallet_id,
        deployment_id=deployment.pk,
        price_id=price_ids([product])[product],
        quantity=quantity,
        amount=amount,
        from_at=at,
        to_at=at + lasted,
    )
    charge([one], unit=unit)
    return amount


def spend_credits(deployment: BilledDeployment, whole: int, *, at: datetime | None = None) -> None:
    """Charge whole credits."""
    spend(deployment, whole, product=("AWS CLUSTER TEST", Rate(CREDIT, PriceUnit.SECOND)), at=at)


def run_instance(deployment: BilledDeployment, *, product: Any = INSTANCE, since: datetime | None = None, **fields: Any) -> MeteredResource:
    """Return an instance that is metered from a moment on (default: now)."""
    since = since or clock.now()
    told = {
        "price": Price.objects.get(pk=price_ids([product])[product]),
        "started_at": since,
        "billed_until": since,
        "billable": True,
        **fields,
    }
    return MeteredResource.objects.create(id=uuid7(), wallet_id=deployment.wallet_id, deployment_id=deployment.pk, **told)
