"""Changes of plans by operators."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from billing.errors import UnknownPlan
from billing.funding import review_wallets, tell_changes
from billing.models import Plan, PlanInterval, Subscription, SubscriptionStatus
from billing.wallets import lock_wallets
from controlplane.accounts.models import User
from controlplane.audit.services import record
from controlplane.common.errors import InvalidInput

EDITABLE = frozenset(field.name for field in Plan._meta.get_fields() if field.concrete) - {"id", "code", "created_at", "updated_at"}
CODE_RULE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
NEW_RANK = 90
# What the room above sells: provider and flavour.
OFFERED: set[str] = set()


def register_offered(infrastructures: Iterable[str]) -> None:
    """Say on which infrastructures something is offered, such as "AWS SERVERLESS": plans can name no other."""
    OFFERED.update(infrastructures)


@dataclass(frozen=True, slots=True)
class PlanEdit:
    """A plan after a change, and what was changed: the values before and after, by field."""

    plan: Plan
    changed: dict[str, tuple[Any, Any]]
    made: bool


def edit_plan(*, code: str, reason: str, create: bool = False, actor: User | None = None, **changes: Any) -> PlanEdit:
    """Change a plan, or with `create` make one: for operators. Its workspaces have it so at once; credits count from their next period.

    What changes nothing leaves no line in the audit log. Raises `UnknownPlan`, and `InvalidInput` for a field that a plan does not have or a value
    that it cannot have.
    """
    if unknown := sorted(set(changes) - EDITABLE):
        raise InvalidInput("unknown_field", f"A plan has no {', '.join(unknown)}. It has: {', '.join(sorted(EDITABLE))}.")
    with transaction.atomic():
        plan = locked_plan(code, create=create)
        made = plan._state.adding
        changed = {name: (getattr(plan, name), value) for name, value in changes.items() if made or getattr(plan, name) != value}
        for name, (_, value) in changed.items():
            setattr(plan, name, value)
        if "interval" in changed and Subscription.objects.filter(plan=plan).exists():
            detail = f"Workspaces have had the plan '{code}', and their periods go on from when they began: make another plan for another interval."
            raise InvalidInput("plan_in_use", detail, fields={"interval": [detail]})
        check_plan(plan)
        if made or changed:
            plan.save()
            follow(plan)
            note_edit(plan, changed, made=made, reason=reason, actor=actor)
    return PlanEdit(plan, changed, made)


def locked_plan(code: str, *, create: bool) -> Plan:
    """Return a plan that nobody else changes until the transaction ends. Raises `UnknownPlan`."""
    # Not a stronger lock: whoever puts a wallet on the plan holds the wallet, and refers to the plan's row.
    found = Plan.objects.select_for_update(no_key=True).filter(code=code).first()
    if found is not None:
        return found
    if not create:
        raise UnknownPlan(code, sorted(Plan.objects.values_list("code", flat=True)))
    if not CODE_RULE.fullmatch(code):
        raise InvalidInput(
            "bad_code", "A plan's code has small letters, digits and '-', at most 40.", fields={"code": ["Not of that form."]}
        )
    return Plan(code=code, name=code, rank=NEW_RANK, interval=PlanInterval.ONCE, offered=False)


def check_plan(plan: Plan) -> None:
    """Raise `InvalidInput` for values that a plan cannot have."""
    listed = plan.infrastructures
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        detail = "infrastructures is a list of pairs such as 'AWS SERVERLESS', or '*' alone for all."
        raise InvalidInput("bad_plan", detail, fields={"infrastructures": [detail]})
    offered = sorted(OFFERED)
    if unknown := sorted({*listed} - {"*", *offered}):
        detail = f"Nothing is offered on '{unknown[0]}'. There are: {', '.join(offered)}; or '*' alone for all."
        raise InvalidInput("bad_plan", detail, fields={"infrastructures": [detail]})
    if plan.offered and not plan.price_cents:
        detail = "Only a plan with a price can be offered: give it price_cents, or assign it with set_plan."
        raise InvalidInput("bad_plan", detail, fields={"offered": [detail]})
    # Django takes no limit, no infrastructure and free for values that are missing.
    empty = [field.name for field in Plan._meta.concrete_fields if field.null and getattr(plan, field.name) is None]
    try:
        plan.full_clean(exclude=[*empty, "infrastructures"])
    except ValidationError as error:
        told = [f"{name}: {' '.join(texts)}" for name, texts in error.message_dict.items()]
        raise InvalidInput("bad_plan", f"The plan '{plan.code}' cannot be so. {'; '.join(told)}", fields=error.message_dict) from error


def follow(plan: Plan) -> None:
    """Have the workspaces of a plan follow it: who pays may be another question now, and their routes have its limits."""
    wallets = wallets_on(plan)
    if not wallets:
        return
    lock_wallets(wallets)
    review_wallets(wallets)
    tell_changes(wallets)


def wallets_on(plan: Plan) -> list[UUID]:
    """Return the wallets that are on a plan now."""
    rows = Subscription.objects.filter(plan=plan).exclude(status=SubscriptionStatus.ENDED)
    return list(rows.values_list("wallet_id", flat=True))


def note_edit(plan: Plan, changed: dict[str, tuple[Any, Any]], *, made: bool, reason: str, actor: User | None) -> None:
    """Write the audit log's line."""
    told = {name: list(values) for name, values in changed.items()}
    details = {"changed": told, "reason": reason}
    action = "plan.create" if made else "plan.edit"
    record(actor=actor, action=action, kind="plan", target=plan.pk, name=plan.code, chain=None, details=details)
