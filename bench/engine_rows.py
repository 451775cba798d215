"""What the engine bench asks of the product's own services and finds in the database. Import it once Django is set up."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import OperationalError

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.projects.models import Workflow
from deployments.models import Deployment, LogHead, Replica, Revision, RevisionKind, RevisionState, StatusChange
from deployments.reconcile.replicas import replica_name, spec_of
from deployments.reconcile.steps import AT_REST_SECONDS
from deployments.routing import publish_route
from deployments.states import ReplicaStatus, Status
from tests.deployments.builders import deploy, make_owner, make_workflow

__all__ = ["at_rest", "forget_all", "make_owner", "make_workflow", "run_all"]

DIGEST = "0" * 64


def run_all(owner: User, workflows: Sequence[Workflow], *, timeout: float) -> list[float]:
    """Ask for a deployment of each and wait until all run; return the seconds from the first request to each RUNNING, in rising order."""
    wanted = [deploy(owner, workflow).pk for workflow in workflows]
    began = Deployment.objects.filter(pk__in=wanted).order_by("created_at").values_list("created_at", flat=True)[0]
    rows = StatusChange.objects.filter(deployment__in=wanted, after=Status.RUNNING)
    deadline = time.monotonic() + timeout
    while rows.count() < len(wanted):
        if time.monotonic() > deadline:
            raise SystemExit(f"After {timeout:.0f} s: {states()}")
        time.sleep(0.25)
    return [(moment - began).total_seconds() for moment in rows.order_by("created_at").values_list("created_at", flat=True)]


def states() -> dict[str, int]:
    """Return how many deployments are in each state, and for which reason."""
    found: dict[str, int] = {}
    for status, code in Deployment.objects.values_list("status", "reason_code"):
        name = f"{status} {code}".strip()
        found[name] = found.get(name, 0) + 1
    return found


def forget_all(cloud: Any) -> None:
    """Remove every deployment without a word, here and in the cloud; workers may have one of them in hand just now."""
    while Deployment.objects.exists():
        try:
            Deployment.objects.update(next_check_at=None)
            Deployment.objects.all().delete()
        except OperationalError:
            time.sleep(0.5)
    cloud.forget()


def at_rest(owner: User, count: int, flavour: str, cloud: Any) -> None:
    """Write deployments that have run for an hour on one replica each, known to the cloud and routed; their next looks are spread evenly."""
    workflow = make_workflow(owner)
    then = clock.now() - timedelta(hours=1)
    elastic = {"min_replicas": 0, "idle_seconds": 7200} if flavour == "SERVERLESS" else {}
    made = [resting(owner, workflow, flavour, then, **elastic) for _ in range(count)]
    Deployment.objects.bulk_create(made)
    LogHead.objects.bulk_create(LogHead(deployment=one) for one in made)
    Revision.objects.bulk_create(served(one, then) for one in made)
    replicas = [serving(one, then) for one in made]
    Replica.objects.bulk_create(replicas)
    specs = [spec_of(one) for one in replicas]
    cloud.adopt(specs)
    for one in made:
        publish_route(one.pk)


def resting(owner: User, workflow: Workflow, flavour: str, then: Any, **elastic: int) -> Deployment:
    """Return one that runs since then."""
    return Deployment(
        workflow=workflow,
        workflow_name=workflow.name,
        project_path=workflow.project.path,
        namespace_id=workflow.project.namespace_id,
        workspace_id=workflow.project.workspace_id,
        created_by=owner,
        provider="AWS",
        region="FRANCE",
        flavour=flavour,
        size="M",
        backend="local",
        wanted_version=workflow.current,
        status=Status.RUNNING,
        status_since=then,
        observed_generation=1,
        served_revision=1,
        scaled_at=then,
        next_check_at=clock.now() + timedelta(seconds=random.uniform(0, AT_REST_SECONDS)),
        **elastic,
    )


def served(deployment: Deployment, then: Any) -> Revision:
    """Return its first revision."""
    return Revision(
        deployment=deployment,
        number=1,
        kind=RevisionKind.CREATE,
        version=deployment.wanted_version,
        tag="v1",
        size=deployment.size,
        digest=DIGEST,
        state=RevisionState.SERVED,
        served_at=then,
    )


def serving(deployment: Deployment, then: Any) -> Replica:
    """Return its replica, as the cloud has it."""
    name = replica_name(deployment, 1, 1)
    return Replica(
        deployment=deployment,
        version=deployment.wanted_version,
        name=name,
        generation=1,
        backend=deployment.backend,
        bundle=DIGEST,
        size=deployment.size,
        status=ReplicaStatus.SERVING,
        address=f"unix:/run/{name}.sock",
        workers=2,
        isolation={"sandbox": "fake"},
        ready_at=then,
        billed_from=then,
    )
