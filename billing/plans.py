"""Plans: those that an installation begins with, and changes by operators."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from django.db import transaction

from billing.errors import UnknownPlan
from billing.models import Plan
from billing.pricing import MICRO_PER_CREDIT
from controlplane.audit.services import record
from controlplane.common.errors import InvalidInput

PLANS_FILE = Path(__file__).parent / "plans.toml"
BYTES_PER_GB = 1_000_000_000
SAME = ("code", "name", "rank", "interval", "price_cents", "hits", "validity_months", "personal", "organizations", "infrastructures")
SWITCHES = ("calls_a_minute", "offered", "unmetered")
EDITABLE = frozenset(field.name for field in Plan._meta.get_fields() if field.concrete) - {"id", "code", "created_at", "updated_at"}


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


def edit_plan(*, code: str, reason: str, **changes: Any) -> Plan:
    """Change a plan, or make it: for operators. It counts for its subscribers from their next use, credits from their next period.

    Raises `InvalidInput` for a field that a plan does not have or a value that it cannot have.
    """
    if unknown := sorted(set(changes) - EDITABLE):
        raise InvalidInput("unknown_field", f"A plan has no {', '.join(unknown)}. It has: {', '.join(sorted(EDITABLE))}.")
    with transaction.atomic():
        plan = Plan.objects.select_for_update().filter(code=code).first() or Plan(
            code=code, name=code, rank=90, interval="ONCE", offered=False
        )
        before = {name: getattr(plan, name) for name in changes}
        for name, value in changes.items():
            setattr(plan, name, value)
        plan.full_clean()
        plan.save()
        told = {name: [before[name], value] for name, value in changes.items() if before[name] != value}
        record(
            actor=None, action="plan.edit", kind="plan", target=plan.pk, name=code, chain=None, details={"changed": told, "reason": reason}
        )
    return plan
