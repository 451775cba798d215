"""What the metering bench charges: wallets with credits, reported runs, running instances; and the sums that must come out."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import hiredis
from django.db import connection
from django.db.models import Sum

from billing.grants import grant_credits
from billing.models import BilledDeployment, GrantSource, LedgerEntry, MeteredResource, Posting
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
HOUR = timedelta(hours=1)


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
        grant_credits(wallet_id=wallet.pk, amount=CREDITS, key=str(uuid4()), source=GrantSource.OPERATOR, starts_at=clock.now() - HOUR)
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


def report_push(payers: list[Payer], count: int, *, offset: int) -> None:
    """Put some runs into the stream, the first one always of the first payer."""
    send_push(packed_push(payers, count, offset=offset), count)


def packed_push(payers: list[Payer], count: int, *, offset: int) -> bytes:
    """Return the commands that put some runs into the stream, the first one of the first payer: packed before the time is taken."""
    now = milliseconds(clock.now())
    commands = []
    for number in range(count):
        payer = payers[(offset + number) % len(payers)] if number else payers[0]
        ids = ("deployment", payer.deployment, "workflow", payer.project, "project", payer.project, "namespace", payer.project)
        rest = ("product", PRODUCT, "state", "SUCCESS", "duration_ms", RUN_MS, "ended_at", now, "revision", 1, "fault", "0")
        words = ("XADD", STREAM, "*", "run", uuid7(), *ids, *rest)
        commands.append(hiredis.pack_command(tuple(str(word) for word in words)))  # type: ignore[arg-type]
    return b"".join(commands)


def send_push(packed: bytes, count: int) -> None:
    """Send packed commands and wait for their replies, each of which has two lines; nobody reads what they say."""
    line = stream_socket()
    line.sendall(packed)
    lines = 0
    while lines < 2 * count:
        lines += line.recv(65536).count(b"\r\n")


@cache
def stream_socket() -> socket.socket:
    """Return a connection to Valkey without a client around it."""
    options = valkey().connection_pool.connection_kwargs
    made = socket.create_connection((options["host"], options["port"]))
    words = ["AUTH", options["username"], options["password"]] if options.get("username") else ["AUTH", options.get("password")]
    if options.get("password"):
        made.sendall(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]
        made.recv(100)
    made.sendall(hiredis.pack_command(("SELECT", str(options.get("db", 0)))))  # type: ignore[arg-type]
    made.recv(100)
    return made


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
    with connection.cursor() as cursor:
        cursor.execute("SELECT sum(spent)::bigint FROM billing_grant WHERE wallet_id = %s", [payer.wallet])
        return int(cursor.fetchone()[0]) // (RUN_MS * rate())


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
