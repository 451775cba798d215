"""Spend caps: how much of each is used, the mails at 50, 80 and 100 %, and whether it stops a deployment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from django.db import connection, transaction

from billing.funding import tell_change, write_notice
from billing.models import CapPeriod, NoticeKind, SpendCap
from billing.pricing import credits_text
from billing.wallets import lock_wallets
from controlplane.common import clock

SHARES = (100, 80, 50)
# What was written off was not paid by anybody of the workspace: it does not count.
SPENT = """
SELECT cap.id, COALESCE((SELECT sum(amount - written_off) FROM billing_dailyspend spend
    WHERE spend.wallet_id = cap.wallet_id AND (cap.deployment_id IS NULL OR spend.deployment_id = cap.deployment_id)
    AND (cap.period = 'TOTAL' OR spend.day >= date_trunc('month', %(today)s::date))), 0)::bigint
FROM billing_spendcap cap WHERE cap.wallet_id = ANY(%(wallets)s)
"""


def review_caps(wallet_ids: Iterable[UUID]) -> None:
    """See how far the caps of these wallets are used, and write what changed: call it under the wallets' locks."""
    ids = list(wallet_ids)
    caps = list(SpendCap.objects.filter(wallet__in=ids).select_related("wallet"))
    if not caps:
        return
    spent = spent_of_caps(ids)
    for cap in caps:
        review_cap(cap, spent[cap.pk])


def spent_of_caps(wallet_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return what counts towards each cap of these wallets, in micro-credits."""
    with connection.cursor() as cursor:
        cursor.execute(SPENT, {"wallets": list(wallet_ids), "today": clock.now().date()})
        return dict(cursor.fetchall())


def review_cap(cap: SpendCap, spent: int) -> None:
    """Tell each share once in each month (or once at all), and switch the cap on or off."""
    month = first_of_month() if cap.period == CapPeriod.MONTH else None
    told = cap.told if cap.told_for == month else 0
    reached = next((share for share in SHARES if spent * 100 >= share * cap.amount), 0)
    now = clock.now()
    changes: dict[str, object] = {}
    if reached > told:
        tell_share(cap, spent, reached)
    if (max(told, reached), month) != (cap.told, cap.told_for):
        changes |= {"told": max(told, reached), "told_for": month}
    if (reached == 100) != (cap.reached_at is not None):
        changes["reached_at"] = now if reached == 100 else None
        tell_change(cap.wallet_id)
    if changes:
        SpendCap.objects.filter(pk=cap.pk).update(**changes, updated_at=now)


def tell_share(cap: SpendCap, spent: int, share: int) -> None:
    """Write the mail of a share."""
    what = "A deployment" if cap.deployment_id else "The workspace"
    when = "this month" if cap.period == CapPeriod.MONTH else "in all"
    then = "It takes no more runs, and its instances end." if share == 100 else "At 100 % it takes no more runs and its instances end."
    detail = (
        f"{what} has used {credits_text(spent)} of the {credits_text(cap.amount)} credits that it may use {when}. {then} "
        "Raise or remove the cap in the billing settings if you want more."
    )
    write_notice(cap.wallet, NoticeKind.CAP, f"{share} % of a spend cap is used", detail, deployment_id=cap.deployment_id)


def first_of_month() -> date:
    """Return the first day of the present month of UTC."""
    return clock.now().date().replace(day=1)


def reached_caps(wallet_id: UUID) -> list[SpendCap]:
    """Return the caps of a wallet that stop something now."""
    return list(SpendCap.objects.filter(wallet=wallet_id, reached_at__isnull=False))


def review_months() -> int:
    """Open the caps that a former month reached; returns how many wallets were looked at."""
    month = first_of_month()
    rows = SpendCap.objects.filter(period=CapPeriod.MONTH, reached_at__isnull=False, told_for__lt=month)
    found = sorted(set(rows.values_list("wallet_id", flat=True)))
    for pk in found:
        with transaction.atomic():
            lock_wallets([pk])
            review_caps([pk])
    return len(found)
