"""What webhooks are told of deployments and runs. Call these in the transaction of what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

from django.conf import settings

from controlplane.webhooks.outbox import NewEvent, emit_events, listening_projects
from deployments.models import Deployment
from deployments.reports import Report
from deployments.states import Reason, Status, next_step

# Changes that have an event of their own beside deployment.status_changed.
OWN_EVENTS = {Status.RUNNING: "deployment.running", Status.ERROR: "deployment.error", Status.DELETED: "deployment.deleted"}
RUN_EVENTS = {"SUCCESS": "run.succeeded", "FAILURE": "run.failed"}


def announce_created(deployment: Deployment) -> None:
    """Tell that somebody asked for a deployment."""
    emit_all(["deployment.created"], deployment, described(deployment))


def announce_status(deployment: Deployment, before: Status, after: Status, reason: Reason | None) -> None:
    """Tell that a deployment changed its status; `deployment` still has its workflow."""
    told = {"code": reason.code, "detail": reason.detail, "next": next_step(reason.code, after)} if reason else None
    names = ["deployment.status_changed", *([OWN_EVENTS[after]] if after in OWN_EVENTS else [])]
    emit_all(names, deployment, {**described(deployment), "before": before.value, "after": after.value, "reason": told})


def announce_runs(runs: Sequence[Report]) -> None:
    """Tell of runs that have ended. A run that is reported again has the same event, which no webhook gets twice into its outbox."""
    listening = {str(pk) for pk in listening_projects({run.project_id for run in runs})}
    told = [run for run in runs if run.project_id in listening]
    # In one order whoever writes them, so that two workers with the same reports do not wait for each other.
    emit_events([event_of_run(run) for run in sorted(told, key=lambda run: (run.ended_ms, run.run))])


def emit_all(names: Sequence[str], deployment: Deployment, data: dict[str, Any]) -> None:
    """Emit these events of a deployment; what is deleted belongs to no project any more."""
    if deployment.workflow is None:
        return
    project_id = deployment.workflow.project_id
    emit_events([NewEvent(project_id=project_id, type=name, subject=str(deployment.pk), data=data) for name in names])


def described(deployment: Deployment) -> dict[str, Any]:
    """Return what receivers learn about a deployment."""
    return {
        "deployment": str(deployment.pk),
        "url": f"{settings.PUBLIC_URL}/v1/deployments/{deployment.pk}/",
        "workflow": deployment.path,
        "provider": deployment.provider,
        "region": deployment.region,
        "flavour": deployment.flavour,
        "size": deployment.size,
        "tag": deployment.wanted_version.tag if deployment.wanted_version else "",
        "endpoint": deployment.endpoint,
    }


def event_of_run(run: Report) -> NewEvent:
    """Return the event of a run; its id follows from the run's."""
    return NewEvent(
        project_id=UUID(run.project_id),
        type=RUN_EVENTS[run.state],
        subject=run.run,
        data={
            "run": run.run,
            "deployment": run.deployment_id,
            "workflow": run.workflow_id,
            "state": run.state,
            "duration_ms": run.duration_ms,
            "product": run.product,
            "micro_credits": run.micro_credits,
        },
        occurred_at=run.ended_at,
        event_id=uuid5(UUID(run.run), "ended"),
    )
