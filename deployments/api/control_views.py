"""Routes that control a deployment: pause, resume, restart, roll back, schedules; and those that tell what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.api.pagination import paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.workspaces.permissions import Permission
from deployments.api import examples
from deployments.api.control_serializers import (
    HistoryOutput,
    ReplicaOutput,
    RevisionOutput,
    RollBackInput,
    ScheduleInput,
    ScheduleOutput,
)
from deployments.api.serializers import DeploymentOutput
from deployments.api.views import readable
from deployments.models import Deployment, Replica, Revision, Schedule, StatusChange
from deployments.schedules import create_schedule, delete_schedule
from deployments.services import pause_deployment, restart_deployment, resume_deployment, roll_back_deployment


class DeploymentAction(WorkspaceView):
    """Something to do with a deployment, without further words."""

    permissions = {"POST": Permission.DEPLOYMENT_EDIT}
    action: ClassVar[Callable[..., Deployment]]

    def act(self, request: Request, deployment_id: UUID) -> Response:
        """Do it and show the deployment."""
        deployment = type(self).action(actor=actor_of(request), deployment_id=deployment_id)
        return Response(DeploymentOutput(deployment, context={"request": request}).data, status=202)


class DeploymentPause(DeploymentAction):
    """Nothing runs and nothing is charged; the URL stays."""

    action = pause_deployment

    @extend_schema(
        summary="Pause a deployment",
        description="The endpoint answers 503 from now on; runs in hand end. Pausing a paused one is no error.",
        request=None,
        responses={202: DeploymentOutput},
        examples=[OpenApiExample("Paused", examples.PAUSED, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, deployment_id: UUID) -> Response:
        """Pause."""
        return self.act(request, deployment_id)


class DeploymentResume(DeploymentAction):
    """On again."""

    action = resume_deployment

    @extend_schema(
        summary="Resume a deployment",
        description="Brings back what was wanted when it was paused or suspended, on the same URL. 402 with what is missing when credits do "
        "not do for a start.",
        request=None,
        responses={202: DeploymentOutput},
        examples=[OpenApiExample("Running", examples.DEPLOYMENT, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, deployment_id: UUID) -> Response:
        """Resume."""
        return self.act(request, deployment_id)


class DeploymentRestart(DeploymentAction):
    """New replicas of the same."""

    action = restart_deployment

    @extend_schema(
        summary="Restart a deployment",
        description="Starts new replicas of the same version and size beside the old ones, then switches: no request fails. After an ERROR it "
        "tries again.",
        request=None,
        responses={202: DeploymentOutput},
        examples=[OpenApiExample("Running", examples.DEPLOYMENT, response_only=True, status_codes=["202"])],
    )
    def post(self, request: Request, deployment_id: UUID) -> Response:
        """Restart."""
        return self.act(request, deployment_id)


class DeploymentRollBack(WorkspaceView):
    """Back to what was."""

    permissions = {"POST": Permission.DEPLOYMENT_EDIT}

    @extend_schema(
        summary="Roll a deployment back",
        description="To a tag, to a revision, or to the revision that served before. The present version serves until the other is healthy.",
        request=RollBackInput,
        responses={202: DeploymentOutput},
        examples=[
            OpenApiExample("To what served before", {}, request_only=True),
            OpenApiExample("To a tag", {"tag": "v1"}, request_only=True),
            OpenApiExample("To a revision", {"revision": 3}, request_only=True),
        ],
    )
    def post(self, request: Request, deployment_id: UUID) -> Response:
        """Roll back."""
        target = validated(RollBackInput, request.data)
        deployment = roll_back_deployment(actor=actor_of(request), deployment_id=deployment_id, **target)
        return Response(DeploymentOutput(deployment, context={"request": request}).data, status=202)


class DeploymentRevisions(WorkspaceView):
    """What the deployment was to run, newest first."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(summary="List revisions of a deployment", responses=page_of(RevisionOutput), examples=[page_example(examples.REVISION)])
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """List revisions."""
        rows = Revision.objects.filter(deployment=readable(request, deployment_id)).select_related("created_by", "deployment")
        return paged(self, rows.order_by("-number"), RevisionOutput)


class DeploymentReplicas(WorkspaceView):
    """The running copies of a deployment."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="List replicas of a deployment",
        description="Newest first, ended ones included.",
        responses=page_of(ReplicaOutput),
        examples=[page_example(examples.REPLICA)],
    )
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """List replicas."""
        rows = Replica.objects.filter(deployment=readable(request, deployment_id))
        return paged(self, rows.order_by("-revision", "-ordinal"), ReplicaOutput)


class DeploymentHistory(WorkspaceView):
    """How the status went, newest first."""

    permissions = {"GET": Permission.DEPLOYMENT_READ}

    @extend_schema(
        summary="List status changes of a deployment", responses=page_of(HistoryOutput), examples=[page_example(examples.HISTORY)]
    )
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """List changes."""
        rows = StatusChange.objects.filter(deployment=readable(request, deployment_id))
        return paged(self, rows.order_by("-created_at", "-pk"), HistoryOutput)


class DeploymentSchedules(WorkspaceView):
    """When a deployment is switched on and off."""

    permissions = {"GET": Permission.DEPLOYMENT_READ, "POST": Permission.DEPLOYMENT_EDIT}

    @extend_schema(summary="List schedules of a deployment", responses=page_of(ScheduleOutput), examples=[page_example(examples.SCHEDULE)])
    def get(self, request: Request, deployment_id: UUID) -> Response:
        """List schedules."""
        rows = Schedule.objects.filter(deployment=readable(request, deployment_id)).select_related("created_by")
        return paged(self, rows.order_by("created_at"), ScheduleOutput)

    @extend_schema(
        summary="Add a schedule",
        description="Pauses or resumes the deployment at each time of the cron line, as the clocks of the time zone show it.",
        request=ScheduleInput,
        responses={201: ScheduleOutput},
        examples=[
            OpenApiExample(
                "Off on weekday evenings", {"action": "PAUSE", "cron": "0 19 * * 1-5", "time_zone": "Europe/Paris"}, request_only=True
            )
        ],
    )
    def post(self, request: Request, deployment_id: UUID) -> Response:
        """Add one."""
        data = validated(ScheduleInput, request.data)
        schedule = create_schedule(actor=actor_of(request), deployment_id=deployment_id, **data)
        return Response(ScheduleOutput(schedule, context={"request": request}).data, status=201)


class ScheduleDetail(WorkspaceView):
    """One schedule."""

    permissions = {"DELETE": Permission.DEPLOYMENT_EDIT}

    @extend_schema(summary="Delete a schedule", responses={204: None})
    def delete(self, request: Request, schedule_id: UUID) -> HttpResponse:
        """Delete."""
        delete_schedule(actor=actor_of(request), schedule_id=schedule_id)
        return no_content()
