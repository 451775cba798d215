"""Reads: routes for the gateway, logs and usage for the API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Sum
from django.db.models.functions import Trunc

from controlplane.common.clock import milliseconds
from deployments.models import Deployment, LogLine, Replica, UsageEvent
from deployments.states import DesiredState, ReplicaStatus


@dataclass(frozen=True, slots=True)
class RouteReplica:
    """A replica that takes runs. `address` is "unix:/path" or a URL; `workers` runs go on at a time."""

    id: str
    address: str
    workers: int


@dataclass(frozen=True, slots=True)
class RouteReason:
    """Why a deployment does not serve."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where the runs of an endpoint go; ids are UUIDs as text, `updated` is milliseconds since 1970 of the deployment's last change."""

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
    updated: int


def route_for_slug(slug: str) -> Route | None:
    """Return the route of an endpoint, or None if there is no such endpoint (any more)."""
    return route_of(Deployment.objects.filter(slug=slug).select_related("workflow__project", "wanted_version").first())


def route_of(deployment: Deployment | None) -> Route | None:
    """Return a deployment's route; an endpoint that is being deleted has none."""
    if deployment is None or deployment.workflow is None or deployment.desired_state == DesiredState.DELETED:
        return None
    serving = list(deployment.replicas.filter(status=ReplicaStatus.SERVING).select_related("version"))
    version = serving[0].version if serving else deployment.wanted_version
    size = serving[0].size if serving else deployment.size
    reason = RouteReason(deployment.reason_code, deployment.reason_detail) if deployment.reason_code else None
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
        replicas=tuple(RouteReplica(id=replica.name, address=replica.address, workers=replica.workers) for replica in serving),
        updated=milliseconds(deployment.updated_at),
    )


def serving_replica(deployment: Deployment) -> Replica | None:
    """Return the replica that takes the runs."""
    found: Replica | None = deployment.replicas.filter(status=ReplicaStatus.SERVING).select_related("version").first()
    return found


def read_log(deployment: Deployment, *, start: int | None, end: int | None, level: str | None, limit: int) -> dict[str, Any]:
    """Return `{"logs", "end"}` in order of time: the first `limit` lines from `start` on, or the newest ones without a start.

    `end` is the time of the last line; going on from `end + 1` misses nothing, for times are unique and rise as lines arrive.
    """
    rows = LogLine.objects.filter(deployment=deployment)
    if start is not None:
        rows = rows.filter(timestamp__gte=start)
    if end is not None:
        rows = rows.filter(timestamp__lte=end)
    if level:
        rows = rows.filter(level=level)
    lines = list(rows.order_by("timestamp" if start is not None else "-timestamp")[:limit])
    if start is None:
        lines.reverse()
    last = lines[-1].timestamp if lines else max((start or 1) - 1, 0)
    return {"logs": lines, "end": last}


def bucket_of(span: timedelta) -> str:
    """Return how fine usage is counted: minutes up to a day, hours up to eight, else days."""
    if span <= timedelta(days=1):
        return "minute"
    return "hour" if span <= timedelta(days=8) else "day"


def usage_by_product(deployment_id: UUID, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """Return the runs of each product by bucket, by the bucket's start (UTC), from the one that holds `since` to the one that starts at `until`."""
    kind = bucket_of(until - since)
    step = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}[kind]
    first, last = floor(since, step), floor(until, step) + step
    rows = (
        UsageEvent.objects.filter(deployment_id=deployment_id, ended_at__gte=first, ended_at__lt=last)
        .annotate(bucket=Trunc("ended_at", kind, tzinfo=UTC))
        .values("product", "bucket")
        .annotate(hits=Count("run"), duration=Sum("duration_ms"), charge=Sum("micro_credits"))
        .order_by("product", "bucket")
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["product"], []).append(row)
    return [product_usage(name, buckets) for name, buckets in found.items()]


def product_usage(name: str, buckets: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a product's runs by bucket, its engine time in ms and its charge in micro-credits."""
    return {
        "product": {"name": name, "unit": "HIT"},
        "hits": {
            "total": sum(bucket["hits"] for bucket in buckets),
            "data": {str(milliseconds(bucket["bucket"])): bucket["hits"] for bucket in buckets},
        },
        "duration_ms": sum(bucket["duration"] for bucket in buckets),
        "micro_credits": sum(bucket["charge"] for bucket in buckets),
    }


def floor(moment: datetime, step: timedelta) -> datetime:
    """Return the start of the step that a moment is in, counted from 1970."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return moment - (moment - epoch) % step
