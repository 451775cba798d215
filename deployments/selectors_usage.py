"""Usage as the API and the engine read it: sums by product and time, and how often a revision failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, Sum

from controlplane.accounts.models import User
from controlplane.common.clock import milliseconds
from controlplane.common.errors import InvalidInput
from controlplane.projects.models import Project
from controlplane.workspaces.models import Namespace
from deployments.models import UsageBucket, UsageEvent, UsageGrain

STEPS = {UsageGrain.MINUTE: timedelta(minutes=1), UsageGrain.HOUR: timedelta(hours=1), UsageGrain.DAY: timedelta(days=1)}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A month of minutes, five years of hours. Days are never too many.
MOST_BUCKETS = 45_000


def grain_of(span: timedelta, wanted: str | None = None) -> UsageGrain:
    """Return how fine usage is counted: as wanted, else by minutes up to a day, hours up to eight days, else days. Raises InvalidInput."""
    if wanted is None:
        if span <= timedelta(days=1):
            return UsageGrain.MINUTE
        return UsageGrain.HOUR if span <= timedelta(days=8) else UsageGrain.DAY
    grain = UsageGrain(wanted)
    if grain is not UsageGrain.DAY and span / STEPS[grain] > MOST_BUCKETS:
        raise InvalidInput(
            "too_many_buckets", f"The period has more than {MOST_BUCKETS} {grain}s. Ask for a shorter one, or for larger buckets."
        )
    return grain


def usage_by_product(deployment_id: UUID, *, since: datetime, until: datetime, bucket: str | None = None) -> list[dict[str, Any]]:
    """Return the runs of each product by bucket, by the bucket's start (UTC), from the one that holds `since` to the one that starts at `until`."""
    return summed(UsageBucket.objects.filter(deployment_id=deployment_id), since=since, until=until, bucket=bucket)


def usage_of_project(project_id: UUID, *, since: datetime, until: datetime, bucket: str | None = None) -> list[dict[str, Any]]:
    """Return the same for all that ran in a project, deployments that are deleted included."""
    return summed(UsageBucket.objects.filter(project_id=project_id), since=since, until=until, bucket=bucket)


def usage_of_namespace(
    actor: User, namespace: Namespace, *, since: datetime, until: datetime, bucket: str | None = None
) -> list[dict[str, Any]]:
    """Return the same for the projects right in a namespace, without those that the actor does not see."""
    projects = Project.objects.visible_to(actor).filter(namespace=namespace)
    rows = UsageBucket.objects.filter(namespace_id=namespace.pk, project_id__in=projects.values("pk"))
    return summed(rows, since=since, until=until, bucket=bucket)


def summed(buckets: Any, *, since: datetime, until: datetime, bucket: str | None) -> list[dict[str, Any]]:
    """Add up buckets by product."""
    grain = grain_of(until - since, bucket)
    step = STEPS[grain]
    rows = (
        buckets.filter(grain=grain, start__gte=floor(since, step), start__lte=floor(until, step))
        .values("product", "start")
        .annotate(runs=Sum("hits"), engine_ms=Sum("duration_ms"), charge=Sum("micro_credits"))
        .order_by("product", "start")
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["product"], []).append(row)
    return [product_usage(name, of_product) for name, of_product in found.items()]


def product_usage(name: str, buckets: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return a product's runs by bucket, its engine time in ms and its charge in micro-credits."""
    data = {str(milliseconds(bucket["start"])): int(bucket["runs"]) for bucket in buckets}
    return {
        "product": {"name": name, "unit": "HIT"},
        "hits": {"total": sum(data.values()), "data": data},
        "duration_ms": sum(int(bucket["engine_ms"]) for bucket in buckets),
        "micro_credits": sum(int(bucket["charge"]) for bucket in buckets),
    }


def faults_since(deployment_id: UUID, *, revision: int, since: datetime) -> tuple[int, int]:
    """Return how many runs a revision of a deployment has ended since a moment, and how many of them failed by its own or our fault."""
    rows = UsageEvent.objects.filter(deployment_id=deployment_id, ended_at__gte=since, revision=revision)
    found = rows.aggregate(runs=Count("run"), faults=Count("run", filter=Q(fault=True)))
    return found["runs"], found["faults"]


def floor(moment: datetime, step: timedelta) -> datetime:
    """Return the start of the step that a moment is in, counted from 1970."""
    return moment - (moment - EPOCH) % step
