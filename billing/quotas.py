"""Quotas: how much of what its plan allows a workspace has, and the refusal of one more.

Counts are of the whole workspace, sub-namespaces included. What is there already stays when a limit goes down; only what is new is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from billing.allowances import Allowance, Quota, allowance_of
from billing.errors import NotInPlan, QuotaReached
from billing.models import Plan, Wallet
from billing.wallets import lock_wallets
from controlplane.hub.models import Algorithm
from controlplane.projects.models import Project, Workflow

Counter = Callable[[Wallet], int]

_counters: dict[Quota, Counter] = {}


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """One quota of a workspace: `limit` None is no limit. `lifted_by` is the plan to choose for more, None where no plan has more."""

    quota: Quota
    limit: int | None
    used: int
    lifted_by: Plan | None


def register_counter(quota: Quota, counter: Counter) -> None:
    """Say how to count what a room above this one has; it is asked under the wallet's lock."""
    _counters[quota] = counter


def in_workspace(wallet: Wallet, *, at: str = "") -> dict[str, UUID]:
    """Return the filter for what lies in any namespace of a wallet's workspace; `at` leads to what has the namespace."""
    return {f"{at}namespace__{'owner' if wallet.is_personal else 'organization'}": wallet.workspace_id}


def count_projects(wallet: Wallet) -> int:
    """Count projects, without the one that came with the sign-up."""
    return Project.objects.filter(sample=False, **in_workspace(wallet)).count()


def count_algorithms(wallet: Wallet) -> int:
    """Count algorithms."""
    return Algorithm.objects.filter(**in_workspace(wallet)).count()


def count_workflows(wallet: Wallet) -> int:
    """Count workflows, not their versions, and without those that came with the sign-up."""
    return Workflow.objects.filter(sample=False, **in_workspace(wallet, at="project__")).count()


def used_of(wallet: Wallet, quota: Quota) -> int:
    """Return how much of a quota is used."""
    return _counters[quota](wallet)


def quota_uses(wallet: Wallet) -> list[QuotaUse]:
    """Return every quota of a workspace with its use."""
    allowance = allowance_of(wallet)
    return [quota_use(wallet, allowance, quota) for quota in Quota]


def quota_use(wallet: Wallet, allowance: Allowance, quota: Quota) -> QuotaUse:
    """Return one quota with its use."""
    limit, used = allowance.limit(quota), used_of(wallet, quota)
    return QuotaUse(quota, limit, used, None if limit is None else allowance.lifted_by(quota, used))


def require_quota(wallet: Wallet, quota: Quota) -> None:
    """Raise `QuotaReached` unless there may be one more. Call it in the transaction that creates it, before it is there.

    The wallet stays locked until that transaction ends, so of many at once only as many get through as there is room for.
    """
    if allowance_of(wallet).limit(quota) is None:
        return
    with transaction.atomic():
        lock_wallets([wallet.pk])
        # Read again: the plan may have changed while somebody else had the lock.
        allowance = allowance_of(wallet)
        limit, used = allowance.limit(quota), used_of(wallet, quota)
    if limit is not None and used >= limit:
        raise quota_reached(allowance, quota, limit=limit, used=used)


def require_infrastructure(wallet: Wallet, *, provider: str, flavour: str) -> None:
    """Raise `NotInPlan` unless new deployments of the workspace may be placed there."""
    allowance = allowance_of(wallet)
    infrastructure = f"{provider} {flavour}"
    if allowance.has(infrastructure):
        return
    better = allowance.with_infrastructure(infrastructure)
    if allowance.plan is None:
        detail = f"Deployments need a plan, and {whose(allowance)} has none. {choose(better, 'first')}"
    else:
        there = ", ".join(allowance.plan.infrastructures) or "nothing"
        detail = f"{infrastructure} is not in the plan {allowance.plan.name}, which has {there}. {choose(better, 'for it')}"
    raise NotInPlan(detail, lifted_by=better.code if better else None)


def choose(plan: Plan | None, what: str) -> str:
    """Return what to do to have a plan."""
    return f"Choose the plan {plan.name} {what}." if plan else "No plan that can be chosen has it: ask the operator."


def quota_reached(allowance: Allowance, quota: Quota, *, limit: int, used: int) -> QuotaReached:
    """Return the refusal of one more: which quota, how much of it is used, and what lifts it."""
    better = allowance.lifted_by(quota, used)
    detail = none_text(allowance, quota, better) if limit == 0 else full_text(allowance, quota, better, limit=limit, used=used)
    return QuotaReached(detail, quota=quota, limit=limit, used=used, lifted_by=better.code if better else None)


def none_text(allowance: Allowance, quota: Quota, better: Plan | None) -> str:
    """Return what to do where not even one is allowed: to delete something would make no room."""
    if allowance.plan is None:
        why, do = f"{quota.capitalize()} need a plan, and {whose(allowance)} has none.", "Choose"
    else:
        why, do = f"The plan {allowance.plan.name} allows no {quota}.", "Change to"
    if better is None:
        return f"{why} No plan that can be chosen allows any: ask the operator."
    return f"{why} {do} the plan {better.name}, which allows {allowance_text(better, quota)}."


def full_text(allowance: Allowance, quota: Quota, better: Plan | None, *, limit: int, used: int) -> str:
    """Return what to do where what is allowed is used up."""
    allows = f"The plan {allowance.plan.name} allows" if allowance.plan else "Without a plan a workspace may have"
    if better is None:
        lift = "No plan that can be chosen allows more: ask the operator"
    else:
        lift = f"The plan {better.name} allows {allowance_text(better, quota)}: change to it"
    return f"{allows} {numbered(limit, quota)}, and this workspace has {used}. {lift}, or delete what is not needed."


def whose(allowance: Allowance) -> str:
    """Return whose plan it is, in words."""
    return "this workspace" if allowance.is_personal else "this organization"


def allowance_text(plan: Plan, quota: Quota) -> str:
    """Return how many a plan allows, in words."""
    limit: Any = getattr(plan, quota.field)
    return "any number" if limit is None else f"{limit:,}"


def numbered(count: int, quota: Quota) -> str:
    """Return "3 projects", "1 project"."""
    return f"{count:,} {quota.removesuffix('s') if count == 1 else quota}"


register_counter(Quota.PROJECTS, count_projects)
register_counter(Quota.ALGORITHMS, count_algorithms)
register_counter(Quota.WORKFLOWS, count_workflows)
