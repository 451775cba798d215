"""What billing says when something is about to be created or deleted: no, where the plan allows no more, or would go on being paid for nothing."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from billing.allowances import Quota
from billing.models import Subscription, SubscriptionStatus
from billing.quotas import require_quota
from billing.wallets import wallet_of
from controlplane.common.errors import Conflict
from controlplane.hub.signals import algorithm_creating
from controlplane.projects.models import Project
from controlplane.projects.signals import project_creating, workflow_creating
from controlplane.workspaces.models import Namespace, Organization
from controlplane.workspaces.signals import organization_deleting


@receiver(project_creating, dispatch_uid="billing.project_creating")
def check_project(namespace: Namespace, **_: Any) -> None:
    """Raise `QuotaReached` for a project too many."""
    require_quota(wallet_of(namespace), Quota.PROJECTS)


@receiver(workflow_creating, dispatch_uid="billing.workflow_creating")
def check_workflow(project: Project, **_: Any) -> None:
    """Raise `QuotaReached` for a workflow too many."""
    require_quota(wallet_of(project.namespace), Quota.WORKFLOWS)


@receiver(algorithm_creating, dispatch_uid="billing.algorithm_creating")
def check_algorithm(namespace: Namespace, **_: Any) -> None:
    """Raise `QuotaReached` for an algorithm too many."""
    require_quota(wallet_of(namespace), Quota.ALGORITHMS)


@receiver(organization_deleting, dispatch_uid="billing.organization_deleting")
def check_nothing_goes_on(organization: Organization, **_: Any) -> None:
    """Raise `Conflict` for an organization whose subscription would be paid again. One that is cancelled ends by itself."""
    paid = Subscription.objects.filter(wallet__workspace_id=organization.pk, stripe_id__isnull=False)
    if paid.filter(status__in=[SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE]).exists():
        raise Conflict("subscription_goes_on", f"'{organization.name}' has a subscription that would be paid again. Cancel it first.")
