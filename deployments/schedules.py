"""What users can do with schedules."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.errors import Conflict
from controlplane.common.lookup import visible_or_404
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note
from deployments.clockwork import LEAST_GAP, next_time
from deployments.models import Deployment, Schedule
from deployments.services import project_of, visible_deployment

MOST_SCHEDULES = 20


def create_schedule(*, actor: User, deployment_id: UUID, action: str, cron: str, time_zone: str) -> Schedule:
    """Have a deployment paused or resumed at each time of `cron` in `time_zone`.

    Raises NotFound, PermissionDenied, InvalidInput (a line or a zone that cannot be read), Conflict (there are 20).
    """
    visible = visible_deployment(actor, deployment_id)
    require(actor, Permission.DEPLOYMENT_EDIT, project_of(visible))
    following = next_time(cron, time_zone, after=clock.now(), least_gap=LEAST_GAP)
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update(no_key=True).get(pk=visible.pk)
        if deployment.schedules.count() >= MOST_SCHEDULES:
            raise Conflict("too_many_schedules", f"A deployment has at most {MOST_SCHEDULES} schedules. Delete one first.")
        schedule = Schedule.objects.create(
            deployment=deployment, action=action, cron=cron, time_zone=time_zone, next_at=following, created_by=actor
        )
        workspace = project_of(visible).workspace_id
        note(actor, "schedule.create", deployment, workspace=workspace, what=action, cron=cron, time_zone=time_zone)
    return schedule


def delete_schedule(*, actor: User, schedule_id: UUID) -> None:
    """Take a schedule away. Raises NotFound, PermissionDenied."""
    schedule: Schedule = visible_or_404(Schedule.objects.visible_to(actor).select_related("deployment"), pk=schedule_id)
    visible = visible_deployment(actor, schedule.deployment_id)
    require(actor, Permission.DEPLOYMENT_EDIT, project_of(visible))
    with transaction.atomic():
        if schedule.delete()[0]:
            workspace = project_of(visible).workspace_id
            note(actor, "schedule.delete", visible, workspace=workspace, cron=schedule.cron, time_zone=schedule.time_zone)
