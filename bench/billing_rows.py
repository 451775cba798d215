"""A year of charges of one wallet, written as charging writes them but all at once, and what the API says of it. Import it once Django is set up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from rest_framework.test import APIClient

from bench.billing_balance import figure, timed
from bench.report import Figure
from billing.exports import exported
from billing.grants import grant_credits
from billing.models import BilledDeployment, GrantSource, Wallet
from billing.periods import months_after, whole_minute
from billing.prices import price_ids
from billing.pricing import Price, Unit
from billing.selectors_charges import Wanted
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.ids import uuid7
from tests.factories import make_token, make_user

DEPLOYMENTS = 30
ANSWERS = 30
PRODUCT = ("AWS SERVERLESS S", Price(829, Unit.MILLISECOND))
ENTRIES = """
INSERT INTO billing_ledgerentry (wallet_id, kind, key, booked_at, amount, deployment_id, price_id, quantity, from_at, to_at)
SELECT %(wallet)s, 'CHARGE', 'bench:' || %(wallet)s || ':' || n, at, (60 + n %% 7) * 829, (%(deployments)s::uuid[])[1 + n %% %(count)s], %(price)s,
    60 + n %% 7, at, at + interval '60 milliseconds'
FROM (SELECT n, %(since)s::timestamptz + (n * %(step)s::bigint) * interval '1 microsecond' AS at FROM generate_series(1, %(postings)s) n) charge
"""
POSTINGS = """
INSERT INTO billing_posting (entry_id, wallet_id, unit, source, target, grant_id, amount, booked_at, expires_at)
SELECT entry.id, entry.wallet_id, 1, 1, 2, payer.id, entry.amount, entry.booked_at, payer.expires_at
FROM billing_ledgerentry entry JOIN LATERAL (
    SELECT id, expires_at FROM billing_grant WHERE wallet_id = entry.wallet_id AND starts_at <= entry.booked_at ORDER BY starts_at DESC LIMIT 1
) payer ON true WHERE entry.wallet_id = %(wallet)s AND entry.kind = 'CHARGE'
"""
SUMS = (
    "UPDATE billing_grant SET spent = total FROM (SELECT grant_id, sum(amount) AS total FROM billing_posting WHERE source = 1 GROUP BY 1) taken "
    "WHERE taken.grant_id = billing_grant.id AND wallet_id = %(wallet)s",
    "INSERT INTO billing_hourlyspend (grant_id, hour, amount) SELECT grant_id, date_trunc('hour', booked_at, 'UTC'), sum(amount) "
    "FROM billing_posting WHERE wallet_id = %(wallet)s AND source = 1 GROUP BY 1, 2",
    "INSERT INTO billing_dailyspend (wallet_id, deployment_id, price_id, day, quantity, amount, written_off) SELECT wallet_id, deployment_id, price_id, "
    "(booked_at AT TIME ZONE 'UTC')::date, sum(quantity), sum(amount), 0 FROM billing_ledgerentry WHERE wallet_id = %(wallet)s AND kind = 'CHARGE' "
    "GROUP BY 1, 2, 3, 4",
)


@dataclass(frozen=True)
class Payer:
    """Somebody with a year of charges."""

    user: User
    wallet: Wallet


def fill(postings: int, *, months: int, lasting: int) -> Payer:
    """Give a new person a grant every `months` that lasts `lasting` months, and so many charges over the past year."""
    user = make_user()
    wallet = wallet_of(user.namespaces.get(parent=None))
    since = whole_minute(clock.now()) - timedelta(days=365)
    for month in range(0, 12, months):
        starts = months_after(since, month)
        ends = months_after(starts, lasting)
        grant_credits(
            wallet_id=wallet.pk, amount=10**12, key=f"{wallet.pk}:{month}", source=GrantSource.PLAN, starts_at=starts, expires_at=ends
        )
    ids = [uuid7() for _ in range(DEPLOYMENTS)]
    BilledDeployment.objects.bulk_create(
        BilledDeployment(deployment_id=one, wallet=wallet, project_id=uuid7(), label=f"quay/belts/{place}", offer="AWS FRANCE SERVERLESS S")
        for place, one in enumerate(ids)
    )
    step = 365 * 86_400 * 10**6 // (postings + 1)
    told: dict[str, Any] = {
        "wallet": str(wallet.pk),
        "since": since,
        "step": step,
        "postings": postings,
        "price": price_ids([PRODUCT])[PRODUCT],
    }
    with connection.cursor() as cursor:
        for statement in (ENTRIES, POSTINGS, *SUMS):
            cursor.execute(statement, {**told, "deployments": ids, "count": DEPLOYMENTS})
        cursor.execute("VACUUM ANALYZE")
    return Payer(user, wallet)


def answer_figures(payer: Payer) -> list[Figure]:
    """Ask the API as its owner does, and export everything."""
    client = APIClient(HTTP_AUTHORIZATION=f"Token {make_token(payer.user)}")
    root = f"/v1/namespaces/{payer.user.namespaces.get(parent=None).pk}/billing/"
    pages = {"summary": "", "balance": "balance/", "20 charges": "charges/", "20 charges of a month": f"charges/?month={clock.now():%Y-%m}"}
    pages |= {"20 sums of days": "charges/?by=day", "20 other entries": "entries/"}
    figures = [
        figure(f"GET {name}", timed(lambda address: ask(client, address), [root + path] * ANSWERS), None) for name, path in pages.items()
    ]
    month, began = Wanted(since=clock.now() - timedelta(days=30)), time.perf_counter()
    lines = sum(piece.count(b"\r\n") for piece in exported(payer.wallet.pk, month, kind="charges", form="csv")) - 1
    return [*figures, Figure("export as CSV", lines / (time.perf_counter() - began), "/s", None, f"{lines:,} lines")]


def ask(client: APIClient, address: str) -> None:
    """Get an address."""
    if (status := client.get(address).status_code) != 200:
        raise SystemExit(f"{address} answered {status}")
