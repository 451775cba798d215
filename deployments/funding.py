"""Following what billing says of workspaces: which deployments must not run, written to their rows, where the reconciler and the routes read it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from billing.models import FundingChange, Wallet
from billing.verdicts import Stop, stopped_wallets, verdict_on
from controlplane.common import clock
from deployments.models import Deployment
from deployments.routing import publish_on_commit
from deployments.states import Status
from deployments.wakeups import wake_on_commit

AT_ONCE = 200


def follow_funding() -> int:
    """Take over what billing left word of; returns of how many wallets.

    The word goes only when their deployments are written, so it may be followed once more by another worker.
    """
    followed = 0
    while rows := list(FundingChange.objects.order_by("pk").values_list("pk", "wallet_id")[:AT_ONCE]):
        wallets = list(dict.fromkeys(wallet for _, wallet in rows))
        for wallet in wallets:
            apply(wallet, publish=True)
        FundingChange.objects.filter(pk__in=[pk for pk, _ in rows]).delete()
        followed += len(wallets)
    return followed


def compare_all() -> int:
    """Compare all deployments with what billing says; returns how many differed. For what word was lost of."""
    held = Deployment.objects.exclude(stop_code="").exclude(status=Status.DELETED).values_list("workspace_id", flat=True).distinct()
    wallets = {*stopped_wallets(), *Wallet.objects.filter(workspace_id__in=held).values_list("pk", flat=True)}
    return sum(apply(wallet) for wallet in sorted(wallets))


def apply(wallet_id: UUID, *, publish: bool = False) -> int:
    """Write to the deployments of a wallet's workspace what stops them; returns how many changed. `publish`: their routes anew in any case."""
    workspace = Wallet.objects.values_list("workspace_id", flat=True).get(pk=wallet_id)
    rows = Deployment.objects.filter(workspace_id=workspace).exclude(status=Status.DELETED)
    with transaction.atomic():
        # In one order, and read after the lock: two workers may follow the same word.
        deployments = list(rows.select_for_update(no_key=True).order_by("pk"))
        verdict = verdict_on(wallet_id)
        return sum(write(one, verdict.stop(one.pk, instance=one.is_instance), publish=publish) for one in deployments)


def write(deployment: Deployment, stop: Stop | None, *, publish: bool) -> bool:
    """Write what stops one deployment; returns whether that is new."""
    code, detail = (stop.code, stop.detail) if stop else ("", "")
    changed = (deployment.stop_code, deployment.stop_detail) != (code, detail)
    now = clock.now()
    rows = Deployment.objects.filter(pk=deployment.pk)
    if changed:
        rows.update(stop_code=code, stop_detail=detail, next_check_at=now, updated_at=now)
        wake_on_commit(deployment.pk)
    elif publish:
        rows.update(updated_at=now)
    if changed or publish:
        publish_on_commit(deployment.pk)
    return changed
