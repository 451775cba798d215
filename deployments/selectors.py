"""Reads: routes for the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from billing.allowances import calls_limit_of
from controlplane.common.clock import milliseconds
from deployments.models import Deployment, Replica
from deployments.states import SERVING_STATUSES, DesiredState, ReplicaStatus


@dataclass(frozen=True, slots=True)
class RouteReplica:
    """A replica that takes runs. `address` is "unix:/path" or a URL; `workers` runs go on at a time."""

    id: str
    address: str
    workers: int
    revision: int


@dataclass(frozen=True, slots=True)
class RouteReason:
    """Why a deployment does not serve."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where the runs of an endpoint go; ids are UUIDs as text, `updated` is milliseconds since 1970 of the deployment's last change.

    `asleep`: nobody called for a while, so there is no replica; a run that is held for one wakes it. `stop`: why no run may be accepted, though it
    could serve (NO_CREDITS, SPEND_CAP). `calls_a_minute`: the runs that all endpoints of the workspace start in a minute, None without a limit;
    `plan`: the name of the plan that says so, "" for a workspace without one.
    `updated` stays last: the control plane reads it there.
    """

    slug: str
    deployment: str
    workflow: str
    project: str
    namespace: str
    product: str
    status: str
    reason: RouteReason | None
    tag: str
    replicas: tuple[RouteReplica, ...]
    asleep: bool
    stop: RouteReason | None
    workspace: str
    calls_a_minute: int | None
    plan: str
    updated: int


def route_for_slug(slug: str) -> Route | None:
    """Return the route of an endpoint, or None if there is no such endpoint (any more)."""
    rows = Deployment.objects.select_related("workflow__project", "wanted_version").defer("wanted_version__data")
    return route_of(rows.filter(slug=slug).first())


def route_of(deployment: Deployment | None) -> Route | None:
    """Return a deployment's route; an endpoint that is being deleted has none."""
    if deployment is None or deployment.workflow is None or deployment.desired_state == DesiredState.DELETED:
        return None
    replicas = deployment.replicas.filter(status=ReplicaStatus.SERVING).select_related("version").defer("version__data")
    serving = list(replicas.order_by("revision", "ordinal"))
    version = serving[0].version if serving else deployment.wanted_version
    size = serving[0].size if serving else deployment.size
    reason = RouteReason(deployment.reason_code, deployment.reason_detail) if deployment.reason_code else None
    plan, calls_a_minute = calls_limit_of(deployment.workspace_id)
    return Route(
        slug=deployment.slug,
        deployment=str(deployment.pk),
        workflow=str(deployment.workflow_id),
        project=str(deployment.workflow.project_id),
        namespace=str(deployment.namespace_id),
        product=f"{deployment.provider} {deployment.flavour} {size}",
        status=deployment.status,
        reason=reason,
        tag=version.tag if version else "",
        replicas=tuple(RouteReplica(replica.name, replica.address, replica.workers, replica.revision) for replica in serving),
        asleep=deployment.may_sleep and not serving and deployment.status in SERVING_STATUSES,
        stop=RouteReason(deployment.stop_code, deployment.stop_detail) if deployment.stop_code else None,
        workspace=str(deployment.workspace_id),
        calls_a_minute=calls_a_minute,
        plan=plan,
        updated=milliseconds(deployment.updated_at),
    )


def serving_replica(deployment: Deployment) -> Replica | None:
    """Return a replica that takes runs: all of a deployment are kept in the same way."""
    found: Replica | None = deployment.replicas.filter(status=ReplicaStatus.SERVING).select_related("version").first()
    return found
