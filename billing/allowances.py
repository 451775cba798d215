"""What a plan allows: the limit of each quota, the infrastructures, and which plan would allow more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.conf import settings

from billing.models import Plan, Wallet
from billing.plans import live_subscriptions
from billing.subscriptions import plan_of

# What a workspace without a plan may have beside deployments, where the installation gives persons no plan either.
BASE_PLAN = "free"


class Quota(StrEnum):
    """What there may be so many of in a workspace; storage is bytes, of each project."""

    PROJECTS = "projects"
    ALGORITHMS = "algorithms"
    WORKFLOWS = "workflows"
    DEPLOYMENTS = "deployments"
    STORAGE = "storage_bytes"

    @property
    def field(self) -> str:
        """Return the plan's field that has the limit."""
        return self.value if self is Quota.STORAGE else f"max_{self.value}"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a workspace may have. `plan` is None for an organization that chose none: then `base` counts, and deployments need a plan first."""

    plan: Plan | None
    base: Plan | None
    is_personal: bool

    def limit(self, quota: Quota) -> int | None:
        """Return how many (or how many bytes) there may be, None without a limit."""
        if quota is Quota.STORAGE:
            return self.storage_bytes
        if self.plan is None and quota is Quota.DEPLOYMENTS:
            return 0
        return limit_of(self.plan or self.base, quota)

    @property
    def storage_bytes(self) -> int:
        """Return the bytes that each project may store; where the plan has no limit the installation's holds."""
        found = limit_of(self.plan or self.base, Quota.STORAGE)
        most: int = settings.STORAGE_PROJECT_QUOTA
        return most if found is None else found

    @property
    def calls_a_minute(self) -> int | None:
        """Return how many runs the endpoints of the workspace may start in a minute."""
        counts = self.plan or self.base
        return counts.calls_a_minute if counts else None

    def has(self, infrastructure: str) -> bool:
        """Tell whether deployments may be placed on "PROVIDER FLAVOUR"."""
        return self.plan is not None and self.plan.allows(infrastructure)

    def lifted_by(self, quota: Quota, used: int = 0) -> Plan | None:
        """Return the plan to choose for more than there is now; None where no plan has more, or the installation is what limits."""
        if (limit_of(self.plan or self.base, quota) if quota is Quota.STORAGE else self.limit(quota)) is None:
            return None
        most = max(used, self.limit(quota) or 0)
        return self.first_offered(lambda plan: more_than(limit_of(plan, quota), most))

    def with_infrastructure(self, infrastructure: str) -> Plan | None:
        """Return the plan to choose for an infrastructure."""
        return self.first_offered(lambda plan: plan.allows(infrastructure))

    def more_calls(self) -> Plan | None:
        """Return the plan to choose for more runs in a minute."""
        most = self.calls_a_minute or 0
        return self.first_offered(lambda plan: more_than(plan.calls_a_minute, most))

    def first_offered(self, fits: Callable[[Plan], bool]) -> Plan | None:
        """Return the first plan by rank that fits and can be chosen here; one that is paid as often as the present one comes before others."""
        interval = self.plan.interval if self.plan else ""
        rows = Plan.objects.filter(offered=True, **({"personal": True} if self.is_personal else {"organizations": True}))
        return min(filter(fits, rows), key=lambda plan: (plan.interval != interval, plan.rank, plan.code), default=None)


def limit_of(plan: Plan | None, quota: Quota) -> int | None:
    """Return what a plan itself says of a quota."""
    found: int | None = getattr(plan, quota.field) if plan else None
    return found


def more_than(limit: int | None, most: int) -> bool:
    """Tell whether a limit is above `most`; none always is."""
    return limit is None or limit > most


def allowance_of(wallet: Wallet) -> Allowance:
    """Return what the workspace of a wallet may have now."""
    plan = plan_of(wallet.pk)
    return Allowance(plan, plan or base_plan(), wallet.is_personal)


def base_plan() -> Plan | None:
    """Return the plan whose limits hold where none was chosen."""
    return Plan.objects.filter(code=settings.PERSONAL_PLAN or BASE_PLAN).first()


def calls_limit_of(workspace_id: UUID) -> tuple[str, int | None]:
    """Return the name of a workspace's plan ("" without one) and how many runs its endpoints may start in a minute: one question where it has a plan."""
    found = live_subscriptions(workspace_id).values_list("plan__name", "plan__calls_a_minute").first()
    if found is not None:
        name, limit = found
        return name, limit
    base = base_plan()
    return "", base.calls_a_minute if base else None
