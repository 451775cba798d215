"""Spend caps: set by owners, how much of each is used, the mails at 50, 80 and 100 %, and which are reached."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.access import billed_workspace
from billing.funding import tell_change, write_notice
from billing.models import BilledDeployment, CapPeriod, NoticeKind, SpendCap
from billing.pricing import credits_text
from billing.wallets import lock_wallets
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.arrays import array_text
from controlplane.common.errors import Conflict, InvalidInput
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.permissions import Permission
from controlplane.workspaces.trail import note

SHARES = (100, 80, 50)
MOST_MICRO = 10**16
# What was written off was not paid by anybody of the workspace, and what was given back (and not taken back again) is theirs again: neither counts.
SPENT = """
SELECT cap.id, (
    COALESCE((SELECT sum(amount - written_off) FROM billing_dailyspend spend
        WHERE spend.wallet_id = cap.wallet_id AND (cap.deployment_id IS NULL OR spend.deployment_id = cap.deployment_id)
        AND (cap.period = 'TOTAL' OR spend.day >= %(month)s)), 0)
    - COALESCE((SELECT sum(correction.amount - COALESCE((
            SELECT sum(amount) FROM billing_posting WHERE grant_id = given.id AND source = 1 AND target = 3 AND wallet_id = cap.wallet_id), 0))
        FROM billing_grant given
        JOIN billing_ledgerentry correction ON correction.key = 'grant:' || given.key
        JOIN billing_ledgerentry charge ON charge.id = correction.reverses_id
        WHERE given.wallet_id = cap.wallet_id AND given.source = 'CORRECTION' AND given.unit = 1
        AND (cap.deployment_id IS NULL OR charge.deployment_id = cap.deployment_id)
        AND (cap.period = 'TOTAL' OR charge.booked_at >= %(month)s::timestamp AT TIME ZONE 'UTC')), 0)
)::bigint
FROM billing_spendcap cap WHERE cap.wallet_id = ANY(%(wallets)s)
"""


def set_cap(*, actor: User, namespace_id: UUID, deployment_id: UUID | None, period: str, amount: int) -> SpendCap:
    """Limit what a deployment, or without one the workspace, is charged to `amount` micro-credits each month or in all.

    Raises `NotFound`, `PermissionDenied`, `InvalidInput` (no such deployment, no such amount), `Conflict` (there is one: change it).
    """
    billed = billed_workspace(actor, Permission.BILLING_MANAGE, namespace_id)
    check_amount(amount)
    if deployment_id and not BilledDeployment.objects.filter(pk=deployment_id, wallet=billed.wallet).exists():
        raise InvalidInput(
            "unknown_deployment", "The workspace has no such deployment.", fields={"deployment": ["Give the id of a deployment of yours."]}
        )
    with transaction.atomic():
        lock_wallets([billed.wallet.pk])
        same = SpendCap.objects.filter(wallet=billed.wallet, deployment_id=deployment_id, period=period)
        if same.exists():
            raise Conflict("cap_exists", "There is a spend cap for this already. Change its amount, or remove it first.")
        cap = SpendCap.objects.create(wallet=billed.wallet, deployment_id=deployment_id, period=period, amount=amount)
        review_caps([billed.wallet.pk])
        note(actor, "cap.set", cap, workspace=billed.wallet.workspace_id, amount=amount)
    cap.refresh_from_db()
    return cap


def change_cap(*, actor: User, namespace_id: UUID, cap_id: UUID, amount: int) -> SpendCap:
    """Give a cap another amount (micro-credits): a raised one opens at once, one that is reached by it stops at once.

    Shares that are not reached any more are told anew. Raises `NotFound`, `PermissionDenied`, `InvalidInput`.
    """
    billed = billed_workspace(actor, Permission.BILLING_MANAGE, namespace_id)
    check_amount(amount)
    with transaction.atomic():
        lock_wallets([billed.wallet.pk])
        cap: SpendCap = visible_or_404(SpendCap.objects.all(), wallet=billed.wallet, pk=cap_id)
        if cap.amount != amount:
            before, cap.amount = cap.amount, amount
            cap.told = min(cap.told, share_reached(cap, spent_of_caps([cap.wallet_id])[cap.pk]))
            cap.save(update_fields=["amount", "told", "updated_at"])
            review_caps([billed.wallet.pk])
            note(actor, "cap.edit", cap, workspace=billed.wallet.workspace_id, amount=[before, amount])
    cap.refresh_from_db()
    return cap


def remove_cap(*, actor: User, namespace_id: UUID, cap_id: UUID) -> None:
    """Remove a cap: what it stopped may go on. Raises `NotFound` and `PermissionDenied`."""
    billed = billed_workspace(actor, Permission.BILLING_MANAGE, namespace_id)
    with transaction.atomic():
        lock_wallets([billed.wallet.pk])
        cap = visible_or_404(SpendCap.objects.all(), wallet=billed.wallet, pk=cap_id)
        SpendCap.objects.filter(pk=cap.pk).delete()
        if cap.reached_at:
            tell_change(billed.wallet.pk)
        note(actor, "cap.remove", cap, workspace=billed.wallet.workspace_id, amount=cap.amount)


def check_amount(amount: int) -> None:
    """Raise `InvalidInput` for an amount that no cap can have."""
    if not 0 < amount <= MOST_MICRO:
        raise InvalidInput(
            "bad_amount",
            f"A cap is more than 0 and at most {MOST_MICRO} micro-credits, not {amount}.",
            fields={"amount": ["Not in range."]},
        )


def review_caps(wallet_ids: Iterable[UUID | str]) -> None:
    """See how far the caps of these wallets are used, and write what changed: call it under the wallets' locks."""
    ids = capped(wallet_ids)
    if not ids:
        return
    caps = list(SpendCap.objects.filter(wallet__in=ids).select_related("wallet"))
    spent = spent_of_caps(ids)
    for cap in caps:
        review_cap(cap, spent[cap.pk])


def capped(wallet_ids: Iterable[UUID | str]) -> list[UUID]:
    """Return those of the wallets that have a cap."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT wallet_id FROM billing_spendcap WHERE wallet_id = ANY(%s::uuid[])", [array_text(wallet_ids)])
        return [pk for (pk,) in cursor.fetchall()]


def spent_of_caps(wallet_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return what counts towards each cap of these wallets, in micro-credits."""
    with connection.cursor() as cursor:
        cursor.execute(SPENT, {"wallets": list(wallet_ids), "month": first_of_month()})
        return dict(cursor.fetchall())


def review_cap(cap: SpendCap, spent: int) -> None:
    """Tell each share once in each month (or once at all), and switch the cap on or off."""
    month = first_of_month() if cap.period == CapPeriod.MONTH else None
    told = cap.told if cap.told_for == month else 0
    reached = share_reached(cap, spent)
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


def share_reached(cap: SpendCap, spent: int) -> int:
    """Return the largest of the shares that are told which is reached, 0 for none."""
    return next((share for share in SHARES if spent * 100 >= share * cap.amount), 0)


def tell_share(cap: SpendCap, spent: int, share: int) -> None:
    """Write the mail of a share; of several that one charge jumped over, only the highest is told."""
    what = f"The deployment of {label_of(cap.deployment_id)}" if cap.deployment_id else "The workspace"
    when = "this month" if cap.period == CapPeriod.MONTH else "in all"
    then = "It takes no more runs, and its instances end." if share == 100 else "At 100 % it takes no more runs, and its instances end."
    detail = (
        f"{what} has used {credits_text(spent)} of the {credits_text(cap.amount)} credits that it may use {when}. {then} "
        "Raise or remove the cap if you want more."
    )
    key = f"{NoticeKind.CAP}:{cap.pk}:{first_of_month() if cap.period == CapPeriod.MONTH else ''}:{cap.amount}:{share}"
    write_notice(cap.wallet, NoticeKind.CAP, f"{share} % of a spend cap is used", detail, key=key, deployment_id=cap.deployment_id)


def label_of(deployment_id: UUID) -> str:
    """Return the path of a deployment's workflow, as bills name it."""
    return BilledDeployment.objects.values_list("label", flat=True).get(pk=deployment_id)


def shown_caps(caps: Sequence[SpendCap]) -> list[dict[str, Any]]:
    """Return caps of one wallet as people read them, with what is used of them."""
    used = spent_of_caps({cap.wallet_id for cap in caps})
    labels = dict(
        BilledDeployment.objects.filter(pk__in=[cap.deployment_id for cap in caps if cap.deployment_id]).values_list("pk", "label")
    )
    return [
        {
            "id": cap.pk,
            "deployment": cap.deployment_id,
            "label": labels.get(cap.deployment_id) if cap.deployment_id else None,
            "period": cap.period,
            "amount": cap.amount,
            "used": used[cap.pk],
            "in_credits": {"amount": credits_text(cap.amount), "used": credits_text(used[cap.pk])},
            "share": used[cap.pk] * 100 // cap.amount,
            "reached_at": cap.reached_at,
            "created_at": cap.created_at,
            "updated_at": cap.updated_at,
        }
        for cap in caps
    ]


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
