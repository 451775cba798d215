"""Everything back after a top-up, by one action: all deployments of a workspace that were suspended, as far as credits go."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from controlplane.accounts.models import User
from controlplane.common.errors import Conflict, PaymentRequired
from controlplane.workspaces.permissions import Permission, allowed, require
from controlplane.workspaces.services import visible_namespace
from deployments.models import Deployment
from deployments.services import project_of, resume_deployment
from deployments.states import DesiredState, Status


@dataclass(frozen=True, slots=True)
class Refused:
    """A deployment that stays suspended, and why."""

    deployment: Deployment
    code: str
    detail: str

    @property
    def deployment_id(self) -> UUID:
        """Return its id."""
        return self.deployment.pk


@dataclass(frozen=True, slots=True)
class Resumed:
    """What became of the suspended deployments of a workspace."""

    resumed: list[Deployment]
    refused: list[Refused]


def resume_suspended(*, actor: User, namespace_id: UUID) -> Resumed:
    """Resume all suspended deployments of the workspace that a namespace belongs to, the oldest first; those that the actor may edit.

    One that cannot be resumed (credits, spend caps) does not keep the others. Again is no error. Raises `NotFound`, `PermissionDenied`.
    """
    namespace = visible_namespace(actor, namespace_id)
    require(actor, Permission.DEPLOYMENT_EDIT, namespace)
    rows = Deployment.objects.visible_to(actor).filter(
        workspace_id=namespace.workspace_id, status=Status.SUSPENDED, desired_state=DesiredState.PAUSED
    )
    done = Resumed([], [])
    for deployment in rows.select_related("workflow__project__namespace__parent").order_by("created_at"):
        if not allowed(actor, Permission.DEPLOYMENT_EDIT, project_of(deployment)):
            continue
        try:
            done.resumed.append(resume_deployment(actor=actor, deployment_id=deployment.pk))
        except (PaymentRequired, Conflict) as refusal:
            done.refused.append(Refused(deployment, refusal.code, refusal.detail))
    return done
