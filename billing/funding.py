"""Who can pay: funded, in grace, exhausted, and the mails on the way there. Called under the wallets' locks, by whatever changes a balance.

The end of the credits comes when nothing is available any more. What is held then pays the instances for the time of grace.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from billing.balances import Standing, standings
from billing.models import Funding, FundingChange, Grant, Notice, NoticeKind, Subscription, SubscriptionStatus, Wallet
from billing.pricing import credits_text
from billing.wallets import lock_wallets
from controlplane.common import clock
from controlplane.common.arrays import array_text
from controlplane.common.hints import send_task

GRACE = timedelta(minutes=15)
# Shares of what was there after the last credits came in; the mail for 0 % is that of the end.
PERCENTS = (5, 20)
ALL_TOLD = 0
# Grants that began or ended so long ago are looked at again: a minute may be missed by whoever looks each minute.
BOUNDARIES_SEEN = timedelta(minutes=10)


# Of a thousand wallets that are charged at once hardly one comes to a point where something changes.
CONSPICUOUS = """
WITH found AS (
    SELECT wallet_id, sum(amount - spent) AS balance FROM billing_grant
    WHERE wallet_id = ANY(%(wallets)s::uuid[]) AND unit = 1 AND spent < amount AND starts_at <= %(now)s AND expires_at > %(now)s GROUP BY wallet_id
), reserved AS (
    SELECT wallet_id, sum(amount) AS held FROM billing_hold WHERE wallet_id = ANY(%(wallets)s::uuid[]) AND released_at IS NULL GROUP BY wallet_id
), standing AS (
    SELECT id, funding, reference, told_percent, COALESCE(balance, 0) AS balance, COALESCE(held, 0) AS held
    FROM billing_wallet LEFT JOIN found ON found.wallet_id = id LEFT JOIN reserved ON reserved.wallet_id = id
    WHERE id = ANY(%(wallets)s::uuid[])
)
SELECT id FROM standing
WHERE funding <> 'FUNDED' OR balance <= held OR balance > reference OR (told_percent > %(least)s AND balance * 100 <= reference * %(most)s)
"""


def review_wallets(wallet_ids: Iterable[UUID | str], *, came_in: bool = False) -> None:
    """See whether these wallets can pay, and write what changed: call it under their locks. `came_in`: they just got credits."""
    now = clock.now()
    ids = [UUID(str(pk)) for pk in wallet_ids] if came_in else conspicuous(wallet_ids)
    if not ids:
        return
    found = standings(ids, now=now)
    free = unmetered(ids)
    for wallet in Wallet.objects.filter(pk__in=ids):
        changes = judged(wallet, found[wallet.pk], free=wallet.pk in free, came_in=came_in)
        if changes:
            Wallet.objects.filter(pk=wallet.pk).update(**changes, updated_at=now)
        if "funding" in changes:
            tell_change(wallet.pk)


def conspicuous(wallet_ids: Iterable[UUID | str]) -> list[UUID]:
    """Return those of the wallets that have to be looked at: something of them may change, or has."""
    given: dict[str, Any] = {"wallets": array_text(wallet_ids), "now": clock.now(), "least": min(PERCENTS), "most": max(PERCENTS)}
    with connection.cursor() as cursor:
        cursor.execute(CONSPICUOUS, given)
        return [pk for (pk,) in cursor.fetchall()]


def unmetered(wallet_ids: Iterable[UUID]) -> set[UUID]:
    """Return those of the wallets whose plan lets them use what they want."""
    rows = Subscription.objects.filter(wallet__in=list(wallet_ids), plan__unmetered=True).exclude(status=SubscriptionStatus.ENDED)
    return set(rows.values_list("wallet_id", flat=True))


def judged(wallet: Wallet, standing: Standing, *, free: bool, came_in: bool) -> dict[str, Any]:
    """Return what changes in a wallet, and write the notices that go with it."""
    now = clock.now()
    # Free runs pay for runs alone: while something is reserved for instances, they are no reason to let these go on.
    can_pay = free or standing.available > 0 or (standing.hits > 0 and not standing.held)
    changes: dict[str, Any] = {}
    # Grants that were made before they begin come in without a word.
    came_in = came_in or standing.balance > wallet.reference
    if came_in and standing.balance > 0:
        changes = {"reference": standing.balance, "told_percent": 100}
    if can_pay and wallet.funding != Funding.FUNDED:
        return changes | {"funding": Funding.FUNDED, "funding_since": now, "grace_until": None}
    if can_pay:
        return changes | ({} if free or came_in or standing.hits > 0 else low(wallet, standing))
    if wallet.funding == Funding.FUNDED:
        write_notice(wallet, NoticeKind.EMPTY, *out_of_credits(standing))
        return changes | {"funding": Funding.GRACE, "funding_since": now, "grace_until": now + GRACE, "told_percent": ALL_TOLD}
    if wallet.funding == Funding.GRACE and wallet.grace_until is not None and now >= wallet.grace_until:
        if standing.held:
            write_notice(wallet, NoticeKind.SUSPENDED, *grace_is_over())
        return changes | {"funding": Funding.EXHAUSTED, "funding_since": now, "grace_until": None}
    return changes


def low(wallet: Wallet, standing: Standing) -> dict[str, Any]:
    """Tell once that 20 % or 5 % of the credits are left."""
    reached = next((percent for percent in PERCENTS if standing.balance * 100 <= percent * wallet.reference), None)
    if reached is None or reached >= wallet.told_percent:
        return {}
    subject = f"{reached} % of your credits are left"
    detail = (
        f"{credits_text(standing.balance)} credits are left of the {credits_text(wallet.reference)} that were there when credits last came in. "
        "Add credits, or pause what you do not need: without credits serverless endpoints answer 402 at once, and instances end 15 minutes later."
    )
    write_notice(wallet, NoticeKind.LOW, subject, detail)
    return {"told_percent": reached}


def out_of_credits(standing: Standing) -> tuple[str, str]:
    """Return subject and text of the mail for the end of the credits."""
    runs = (
        f"{standing.hits} free runs are left to serverless endpoints." if standing.hits else "Serverless endpoints answer 402 from now on."
    )
    held = f" {credits_text(standing.balance)} credits are reserved for instances that run now." if standing.held else ""
    then = "are deleted with their endpoints" if deletes() else "end, and their endpoints keep their URLs"
    after = "" if deletes() else "; after it, resume the deployments"
    return "Your credits have run out", (
        f"{runs}{held} Instances go on for 15 minutes; then they {then}. Add credits before that and nothing ends{after}."
    )


def grace_is_over() -> tuple[str, str]:
    """Return subject and text of the mail for instances that end without credits."""
    if deletes():
        return "Your instances have been deleted", (
            "Their 15 minutes without credits are over. Their workflows are still there: add credits, then deploy them again."
        )
    return "Your instances have been suspended", (
        "Their 15 minutes without credits are over. Nothing of them runs or is charged, and their endpoints keep their URLs. "
        "Add credits, then resume the deployments, one by one or all at once."
    )


def deletes() -> bool:
    """Tell whether instances without credits are deleted here, and not suspended."""
    return bool(settings.CREDIT_EXHAUSTION == "delete")


def write_notice(wallet: Wallet, kind: NoticeKind, subject: str, detail: str, *, key: str = "", deployment_id: UUID | None = None) -> None:
    """Keep a mail to send; what it tells happened once, under the wallet's lock."""
    key = key or f"{kind}:{wallet.pk}:{clock.now().isoformat()}"
    rows = [Notice(wallet=wallet, kind=kind, key=key, subject=subject, detail=detail, deployment_id=deployment_id)]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)


def tell_change(wallet_id: UUID) -> None:
    """Leave word for the reconciler that a wallet stands otherwise, and a hint once it is committed."""
    tell_changes([wallet_id])


def tell_changes(wallet_ids: Iterable[UUID]) -> None:
    """Leave word of several wallets, with one hint."""
    ids = list(wallet_ids)
    if not ids:
        return
    FundingChange.objects.bulk_create([FundingChange(wallet_id=pk) for pk in ids], batch_size=1000)

    def hint() -> None:
        send_task("deployments.follow_funding", expires=5, retry=False)

    # A named function: Django logs a robust hook that fails by its __qualname__, which a partial lacks.
    transaction.on_commit(hint, robust=True)


def review_times() -> int:
    """Look at the wallets whose standing changes without anybody spending: grants that begin or end, and times of grace that are over."""
    now = clock.now()
    begun = Grant.objects.filter(starts_at__gt=now - BOUNDARIES_SEEN, starts_at__lte=now)
    ended = Grant.objects.filter(expires_at__gt=now - BOUNDARIES_SEEN, expires_at__lte=now)
    over = Wallet.objects.filter(funding=Funding.GRACE, grace_until__lte=now)
    found = {*begun.values_list("wallet_id", flat=True), *ended.values_list("wallet_id", flat=True), *over.values_list("pk", flat=True)}
    for pk in sorted(found):
        with transaction.atomic():
            lock_wallets([pk])
            review_wallets([pk])
    return len(found)
