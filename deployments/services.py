"""What users can do with deployments. Services write intent; the reconciler brings it about."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.db.models import F

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.errors import Conflict, NotFound
from controlplane.common.lookup import visible_or_404
from controlplane.projects.models import Project, Workflow
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note
from deployments.models import Deployment, LogHead, StatusChange
from deployments.offers import find_offer
from deployments.states import DesiredState, Status
from deployments.wakeups import wake_on_commit


def request_deployment(*, actor: User, workflow_id: UUID, provider: str, region: str, flavour: str, size: str) -> Deployment:
    """Ask for the workflow's newest version on an offer; the answer has the endpoint at once, the state is QUEUED.

    Raises NotFound, PermissionDenied, InvalidInput (no such offer), Conflict (the workflow has no version).
    """
    workflow = visible_workflow(actor, workflow_id)
    require(actor, Permission.DEPLOYMENT_CREATE, workflow.project)
    offer = find_offer(provider=provider, region=region, flavour=flavour, size=size)
    with transaction.atomic():
        # Under the row's lock the workflow cannot be deleted, nor get a newer version, in between.
        workflow = (
            Workflow.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent").get(pk=workflow.pk)
        )
        if workflow.current is None:
            raise Conflict("no_version", f"'{workflow.name}' has no version yet. Push it, then deploy it.")
        deployment = Deployment.objects.create(
            workflow=workflow,
            workflow_name=workflow.name,
            project_path=workflow.project.path,
            namespace_id=workflow.project.namespace_id,
            created_by=actor,
            provider=offer.provider,
            region=region.upper(),
            flavour=offer.flavour,
            size=offer.size,
            backend=offer.backend,
            wanted_version=workflow.current,
        )
        LogHead.objects.create(deployment=deployment)
        StatusChange.objects.create(deployment=deployment, before="", after=Status.QUEUED, generation=deployment.generation)
        wake_on_commit(deployment.pk)
        note(
            actor,
            "deployment.create",
            deployment,
            workspace=workflow.project.workspace_id,
            offer=f"{offer.product} {deployment.region}",
            tag=workflow.current.tag,
        )
    return deployment


def update_deployment(*, actor: User, deployment_id: UUID, size: str | None = None) -> Deployment:
    """Ask for the workflow's newest version, and another size if one is given; after an ERROR it tries again.

    Nothing happens if it is already wanted. Raises NotFound, PermissionDenied, InvalidInput (no such size), Conflict (being deleted).
    """
    visible = visible_deployment(actor, deployment_id)
    require(actor, Permission.DEPLOYMENT_EDIT, project_of(visible))
    with transaction.atomic():
        deployment = Deployment.objects.select_for_update(no_key=True).get(pk=visible.pk)
        if deployment.workflow is None or deployment.desired_state == DesiredState.DELETED:
            raise Conflict("being_deleted", "This deployment is being deleted. Deploy the workflow again instead.")
        wanted = (deployment.workflow.current, (size or deployment.size).upper())
        retry = deployment.status == Status.ERROR
        if retry or wanted != (deployment.wanted_version, deployment.size):
            find_offer(provider=deployment.provider, region=deployment.region, flavour=deployment.flavour, size=wanted[1])
            deployment.wanted_version, deployment.size = wanted
            deployment.generation += 1
            deployment.next_check_at = clock.now()
            deployment.save(update_fields=["wanted_version", "size", "generation", "next_check_at", "updated_at"])
            wake_on_commit(deployment.pk)
            tag = wanted[0].tag if wanted[0] else ""
            note(actor, "deployment.edit", deployment, workspace=project_of(visible).workspace_id, tag=tag, size=wanted[1])
    return visible_deployment(actor, deployment_id)


def delete_deployment(*, actor: User, deployment_id: UUID) -> None:
    """Ask for the end: the endpoint closes at once, the infrastructure goes, and it is DELETED when the provider confirms. Again is no error."""
    visible = visible_deployment(actor, deployment_id)
    require(actor, Permission.DEPLOYMENT_DELETE, project_of(visible))
    with transaction.atomic():
        rows = Deployment.objects.filter(pk=visible.pk).exclude(desired_state=DesiredState.DELETED)
        now = clock.now()
        if rows.update(desired_state=DesiredState.DELETED, generation=F("generation") + 1, next_check_at=now, updated_at=now):
            wake_on_commit(visible.pk)
            note(actor, "deployment.delete", visible, workspace=project_of(visible).workspace_id)


def visible_workflow(actor: User, workflow_id: UUID) -> Workflow:
    """Return a workflow that the actor sees. Raises NotFound."""
    found: Workflow = visible_or_404(Workflow.objects.visible_to(actor).select_related("project__namespace__parent"), pk=workflow_id)
    return found


def visible_deployment(actor: User, deployment_id: UUID) -> Deployment:
    """Return a deployment that the actor sees. Raises NotFound."""
    rows = Deployment.objects.visible_to(actor).select_related("workflow__project__namespace__parent", "wanted_version")
    found: Deployment = visible_or_404(rows, pk=deployment_id)
    return found


def project_of(deployment: Deployment) -> Project:
    """Return the project of a deployment that was fetched as visible. Raises NotFound if it was deleted since."""
    if deployment.workflow is None:
        raise NotFound("not_found", "This deployment has been deleted.")
    return deployment.workflow.project
