"""What the metering bench charges: wallets with credits, reported runs, running instances; and the sums that must come out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Sum

from billing.grants import grant_credits
from billing.models import BilledDeployment, GrantSource, LedgerEntry, MeteredResource, Posting, Wallet
from billing.prices import price_ids
from billing.wallets import open_wallet
from controlplane.common import clock
from controlplane.common.clock import milliseconds
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey
from deployments.offers import find_product
from deployments.usage_stream import STREAM

RUN_MS = 7
PRODUCT, INSTANCE = "AWS SERVERLESS S", "AWS CLUSTER M"
CHUNK = 5000
CREDITS = 10**13


@dataclass(frozen=True)
class Payer:
    """A wallet and its deployment."""

    wallet: UUID
    deployment: UUID
    project: UUID


def make_payers(count: int) -> list[Payer]:
    """Open wallets with credits, each with a deployment."""
    made = []
    for _ in range(count):
        wallet = open_wallet(uuid4(), is_personal=False)
        grant_credits(wallet_id=wallet.pk, amount=CREDITS, key=str(uuid4()), source=GrantSource.OPERATOR)
        made.append(Payer(wallet.pk, uuid7(), uuid7()))
    rows = [
        BilledDeployment(deployment_id=one.deployment, wallet_id=one.wallet, project_id=one.project, label="bench/it", offer=PRODUCT)
        for one in made
    ]
    BilledDeployment.objects.bulk_create(rows)
    return made


def report(payers: list[Payer], count: int) -> None:
    """Put runs into the stream, as gateways do, spread evenly."""
    for start in range(0, count, CHUNK):
        report_push(payers, min(CHUNK, count - start), offset=start)


def report_push(payers: list[Any], count: int, *, offset: int) -> None:
    """Put some runs into the stream, the first one always of the first payer."""
    pipe = valkey().pipeline(transaction=False)
    now = milliseconds(clock.now())
    for number in range(count):
        payer = payers[(offset + number) % len(payers)] if number else payers[0]
        fields: dict[Any, Any] = {
            "run": str(uuid7()),
            "deployment": str(payer.deployment),
            "workflow": str(payer.project),
            "project": str(payer.project),
            "namespace": str(payer.project),
            "product": PRODUCT,
            "state": "SUCCESS",
            "duration_ms": RUN_MS,
            "ended_at": now,
            "revision": 1,
            "fault": "0",
        }
        pipe.xadd(STREAM, fields)
    pipe.execute()


def reported_left() -> int:
    """Return how many runs are still in the stream."""
    return int(valkey().xlen(STREAM))


def rate() -> int:
    """Return micro-credits a millisecond."""
    offer = find_product(PRODUCT)
    assert offer is not None
    return offer.price.micro_credits


def runs_charged(payer: Any) -> int:
    """Return how many runs the balance of a payer shows."""
    spent = Wallet.objects.filter(pk=payer.wallet).aggregate(spent=Sum("grants__spent"))["spent"] or 0
    return int(spent) // (RUN_MS * rate())


def check_charged(payers: list[Payer], count: int) -> None:
    """Check that every run was charged once."""
    wallets = [one.wallet for one in payers]
    expected = count * RUN_MS * rate()
    entries = LedgerEntry.objects.filter(wallet__in=wallets, kind="CHARGE").aggregate(amount=Sum("amount"), quantity=Sum("quantity"))
    postings = Posting.objects.filter(wallet__in=wallets, target=2).aggregate(amount=Sum("amount"))
    assert entries == {"amount": expected, "quantity": count * RUN_MS}, (entries, expected)
    assert postings["amount"] == expected


def make_instances(wallets: int, count: int, *, seconds: int) -> None:
    """Write instances that have run for so long and were never charged."""
    payers = make_payers(wallets)
    offer = find_product(INSTANCE)
    assert offer is not None
    price = price_ids([(INSTANCE, offer.price)])[INSTANCE, offer.price]
    began = clock.now() - timedelta(seconds=seconds)
    rows = [
        MeteredResource(
            id=uuid7(),
            wallet_id=payers[number % wallets].wallet,
            deployment_id=uuid7(),
            price_id=price,
            started_at=began,
            billable=True,
        )
        for number in range(count)
    ]
    MeteredResource.objects.bulk_create(rows)


def check_instances(count: int) -> None:
    """Check that the charges of all instances are their charged time."""
    offer = find_product(INSTANCE)
    assert offer is not None
    seconds = sum(
        int((one.billed_until - one.started_at).total_seconds())
        for one in MeteredResource.objects.all()
        if one.billed_until and one.started_at
    )
    charged = LedgerEntry.objects.filter(kind="CHARGE", key__startswith="instance:").aggregate(
        amount=Sum("amount"), quantity=Sum("quantity")
    )
    assert charged == {"amount": seconds * offer.price.micro_credits, "quantity": seconds}, (charged, seconds)
    assert seconds >= count * 60
