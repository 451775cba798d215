"""What billing says when something is about to be created: no, where the plan allows no more."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from billing.allowances import Quota
from billing.quotas import require_quota
from billing.wallets import wallet_of
from controlplane.hub.signals import algorithm_creating
from controlplane.projects.models import Project
from controlplane.projects.signals import project_creating, workflow_creating
from controlplane.workspaces.models import Namespace


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
