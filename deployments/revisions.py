"""Revisions: the numbered history of what a deployment was to run. Call these under the deployment's row lock."""

from __future__ import annotations

from django.db.models import Max

from controlplane.accounts.models import User
from controlplane.projects.models import WorkflowVersion
from deployments.models import Deployment, Revision, RevisionKind, RevisionState

# The fields of a deployment that say what is wanted, to save together.
INTENT = [
    "desired_state",
    "revision",
    "wanted_version",
    "size",
    "generation",
    "min_replicas",
    "max_replicas",
    "idle_seconds",
    "expires_at",
    "auto_rollback",
    "next_check_at",
    "updated_at",
]


def want_revision(
    deployment: Deployment, *, kind: RevisionKind, version: WorkflowVersion | None, size: str, actor: User | None, note: str = ""
) -> Revision:
    """Make the next revision the wanted one; the caller saves the deployment. A pending one that it replaces is superseded."""
    supersede(deployment)
    last = deployment.revisions.aggregate(last=Max("number"))["last"] or 0
    revision = Revision.objects.create(
        deployment=deployment,
        number=last + 1,
        kind=kind,
        version=version,
        tag=version.tag if version else "",
        size=size,
        created_by=actor,
        note=note,
    )
    deployment.revision, deployment.wanted_version, deployment.size = revision.number, version, size
    return revision


def want_served_again(deployment: Deployment) -> bool:
    """Go back to the revision that takes the traffic, if it is known: a wish was taken back. The caller saves the deployment."""
    served = deployment.revisions.filter(number=deployment.served_revision).select_related("version").first()
    if served is None or served.version is None:
        return False
    supersede(deployment)
    deployment.revision, deployment.wanted_version, deployment.size = served.number, served.version, served.size
    return True


def supersede(deployment: Deployment) -> None:
    """The wanted revision is not wanted any more; if it never served, it never will."""
    deployment.revisions.filter(number=deployment.revision, state=RevisionState.PENDING).update(state=RevisionState.SUPERSEDED)


def former_served(deployment: Deployment) -> Revision | None:
    """Return the revision that served before the one that serves now, if its version is still there.

    One of the same version and size (before a restart) is no other, and one that was taken back for its faults is none to go back to.
    """
    rows = deployment.revisions.filter(state=RevisionState.SERVED, version__isnull=False).exclude(number=deployment.served_revision)
    served = deployment.revisions.filter(number=deployment.served_revision).first()
    if served is not None:
        rows = rows.exclude(version=served.version_id, size=served.size)
    found: Revision | None = rows.select_related("version").order_by("-served_at").first()
    return found
