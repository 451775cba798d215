"""Plans: those that an installation begins with (billing/plan_edits.py has the changes by operators)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from billing.errors import UnknownPlan
from billing.models import Plan, Subscription, SubscriptionStatus, Wallet
from billing.pricing import MICRO_PER_CREDIT

PLANS_FILE = Path(__file__).parent / "plans.toml"
BYTES_PER_GB = 1_000_000_000
SAME = ("code", "name", "rank", "interval", "price_cents", "hits", "validity_months", "personal", "organizations", "infrastructures")
SWITCHES = ("calls_a_minute", "offered", "unmetered")


def create_missing_plans(**_: Any) -> int:
    """Add the plans of plans.toml whose code is not there; return how many. What operators changed stays."""
    known = set(Plan.objects.values_list("code", flat=True))
    missing = [plan_of_row(row) for row in plan_rows() if row["code"] not in known]
    Plan.objects.bulk_create(missing, ignore_conflicts=True)
    return len(missing)


def plan_rows() -> list[dict[str, Any]]:
    """Return the tables of plans.toml."""
    rows: list[dict[str, Any]] = tomllib.loads(PLANS_FILE.read_text())["plan"]
    return rows


def plan_of_row(row: dict[str, Any]) -> Plan:
    """Return an unsaved plan of one table."""
    quotas = row["quotas"]
    storage = quotas.get("storage_gb")
    return Plan(
        **{name: row[name] for name in (*SAME, *SWITCHES) if name in row},
        credits=row.get("credits", 0) * MICRO_PER_CREDIT,
        max_projects=quotas.get("projects"),
        max_algorithms=quotas.get("algorithms"),
        max_workflows=quotas.get("workflows"),
        max_deployments=quotas.get("deployments"),
        storage_bytes=None if storage is None else storage * BYTES_PER_GB,
    )


def plan_by_code(code: str) -> Plan:
    """Return a plan. Raises `UnknownPlan`, which names those that there are."""
    found = Plan.objects.filter(code=code).first()
    if found is None:
        raise UnknownPlan(code, sorted(Plan.objects.values_list("code", flat=True)))
    return found


def own_plan(user_id: UUID) -> Plan | None:
    """Return the plan of a person's own workspace; where nobody has opened its wallet yet, the one that it will get."""
    live = Plan.objects.filter(subscriptions__in=live_subscriptions(user_id)).first()
    if live is not None or Wallet.objects.filter(workspace_id=user_id).exists():
        return live
    return Plan.objects.filter(code=settings.PERSONAL_PLAN).first()


def live_subscriptions(workspace_id: UUID) -> QuerySet[Any]:
    """Return the subscription that a workspace has now, as rows."""
    return Subscription.objects.filter(wallet__workspace_id=workspace_id).exclude(status=SubscriptionStatus.ENDED)


def plans_to_show(own: Plan | None) -> QuerySet[Plan]:
    """Return the plans that can be chosen, and one's own."""
    return Plan.objects.filter(Q(offered=True) | Q(pk=own.pk if own else None)).order_by("rank", "code")
