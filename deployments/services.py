"""What users can do with deployments. Services write intent; the reconciler brings it about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.errors import Conflict, InvalidInput, NotFound
from controlplane.common.lookup import visible_or_404
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note
from deployments.admission import require_place
from deployments.announcements import announce_created
from deployments.models import Deployment, LogHead, RevisionKind, StatusChange
from deployments.models.deployment import MOST_REPLICAS
from deployments.offers import find_offer
from deployments.paying import open_account, require_funds_beside, reserve_start, take_start_back
from deployments.revisions import INTENT, former_served, want_revision, want_served_again
from deployments.states import SERVING_STATUSES, DesiredState, Status
from deployments.wakeups import wake_on_commit

LEAST_IDLE_SECONDS = 30


def request_deployment(*, actor: User, workflow_id: UUID, provider: str, region: str, flavour: str, size: str) -> Deployment:
    """Ask for the workflow's newest version on an offer; the answer has the endpoint at once, the state is QUEUED.

    Raises NotFound, PermissionDenied, InvalidInput (no such offer), Conflict (the workflow has no version, or there are as many
    deployments as the plan allows), NotInPlan (the plan lacks the infrastructure), PaymentRequired (too few credits).
    """
    workflow = visible_workflow(actor, workflow_id)
    require(actor, Permission.DEPLOYMENT_CREATE, workflow.project)
    offer = find_offer(provider=provider, region=region, flavour=flavour, size=size)
    now = clock.now()
    with transaction.atomic():
        # Under the row's lock the workflow cannot be deleted, nor get a newer version, in between.
        workflow = (
            Workflow.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent").get(pk=workflow.pk)
        )
        if workflow.current is None:
            raise Conflict("no_version", f"'{workflow.name}' has no version yet. Push it, then deploy it.")
        require_place(workflow.project.namespace, offer)
        deployment = Deployment.objects.create(
            workflow=workflow,
            workflow_name=workflow.name,
            project_path=workflow.project.path,
            namespace_id=workflow.project.namespace_id,
            workspace_id=workflow.project.workspace_id,
            created_by=actor,
            provider=offer.provider,
            region=region.upper(),
            flavour=offer.flavour,
            size=offer.size,
            backend=offer.backend,
            wanted_version=workflow.current,
            status_since=now,
            next_check_at=now,
            **scaling_of(offer.flavour),
        )
        want_revision(deployment, kind=RevisionKind.CREATE, version=workflow.current, size=offer.size, actor=actor)
        LogHead.objects.create(deployment=deployment)
        open_account(deployment, workflow.project.namespace)
        StatusChange.objects.create(deployment=deployment, before="", after=Status.QUEUED, generation=deployment.generation)
        announce_created(deployment)
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


def scaling_of(flavour: str) -> dict[str, int]:
    """Return the scaling that a new deployment begins with: serverless ones sleep when nobody calls, instances are always there."""
    idle = int(settings.SERVERLESS_IDLE_SECONDS)
    if flavour != "SERVERLESS" or idle <= 0:
        return {}
    return {"min_replicas": 0, "idle_seconds": idle}


def update_deployment(*, actor: User, deployment_id: UUID, size: str | None = None) -> Deployment:
    """Ask for the workflow's newest version, and another size if one is given; after an ERROR it tries again.

    Nothing happens if it is already wanted. Raises NotFound, PermissionDenied, InvalidInput (no such size), Conflict (being deleted).
    """
    with intent(actor, deployment_id) as change:
        deployment = change.deployment
        version = change.workflow.current
        wanted = (version, (size or deployment.size).upper())
        if wanted != (deployment.wanted_version, deployment.size):
            find_offer(provider=deployment.provider, region=deployment.region, flavour=deployment.flavour, size=wanted[1])
            kind = RevisionKind.UPDATE if version != deployment.wanted_version else RevisionKind.RESIZE
            want_version(deployment, kind=kind, version=version, size=wanted[1], actor=actor)
            change.made("deployment.edit", tag=version.tag if version else "", size=wanted[1])
        elif deployment.status == Status.ERROR:
            change.made("deployment.edit", tag=version.tag if version else "", size=wanted[1])
    return visible_deployment(actor, deployment_id)


def want_version(deployment: Deployment, *, kind: RevisionKind, version: WorkflowVersion | None, size: str, actor: User) -> None:
    """Want this version on this size: what serves already if it is that, else a new revision. Raises `NoCredits` if that cannot start beside it."""
    served = deployment.revisions.filter(number=deployment.served_revision).first()
    if served is None or (served.version_id, served.size) != (version.pk if version else None, size) or not want_served_again(deployment):
        if deployment.status in SERVING_STATUSES:
            require_funds_beside(deployment, size=size)
        want_revision(deployment, kind=kind, version=version, size=size, actor=actor)


def roll_back_deployment(*, actor: User, deployment_id: UUID, tag: str | None = None, revision: int | None = None) -> Deployment:
    """Ask for an earlier version: of a revision, of a tag, or (with neither) of the revision that served before.

    A revision brings its size along, a tag keeps the present one. Raises NotFound, PermissionDenied, InvalidInput (no such tag or revision),
    Conflict (nothing to go back to).
    """
    with intent(actor, deployment_id) as change:
        deployment = change.deployment
        version, size = earlier(deployment, tag=tag, revision=revision)
        find_offer(provider=deployment.provider, region=deployment.region, flavour=deployment.flavour, size=size)
        if (version, size) != (deployment.wanted_version, deployment.size):
            want_version(deployment, kind=RevisionKind.ROLLBACK, version=version, size=size, actor=actor)
            change.made("deployment.rollback", tag=version.tag, size=size)
        elif deployment.status == Status.ERROR:
            change.made("deployment.rollback", tag=version.tag, size=size)
    return visible_deployment(actor, deployment_id)


def earlier(deployment: Deployment, *, tag: str | None, revision: int | None) -> tuple[WorkflowVersion, str]:
    """Return the version and the size to go back to."""
    if tag is not None:
        number = tag.removeprefix("v")
        found = WorkflowVersion.objects.filter(workflow=deployment.workflow, number=int(number)).first() if number.isdecimal() else None
        if found is None:
            raise InvalidInput("unknown_tag", f"The workflow has no tag '{tag[:40]}'.", fields={"tag": ["The workflow has no such tag."]})
        return found, deployment.size
    if revision is not None:
        rows = deployment.revisions.filter(number=revision, version__isnull=False)
        chosen = rows.select_related("version").first()
        if chosen is None or chosen.version is None:
            detail = f"This deployment has no revision {revision} whose version is still there."
            raise InvalidInput("unknown_revision", detail, fields={"revision": [detail]})
        return chosen.version, chosen.size
    former = former_served(deployment)
    if former is None or former.version is None:
        raise Conflict("nothing_to_roll_back_to", "No other revision has served before. Push a corrected version, then update.")
    return former.version, former.size


def restart_deployment(*, actor: User, deployment_id: UUID) -> Deployment:
    """Ask for new replicas of the same version and size; the old ones serve until then. After an ERROR it tries again, from a pause it resumes."""
    with intent(actor, deployment_id) as change:
        deployment = change.deployment
        if deployment.desired_state == DesiredState.PAUSED:
            reserve_start(deployment)
            deployment.desired_state = DesiredState.RUNNING
        elif deployment.status in SERVING_STATUSES:
            require_funds_beside(deployment, size=deployment.size)
            version = deployment.wanted_version
            want_revision(deployment, kind=RevisionKind.RESTART, version=version, size=deployment.size, actor=actor)
        change.made("deployment.restart")
    return visible_deployment(actor, deployment_id)


def pause_deployment(*, actor: User, deployment_id: UUID) -> Deployment:
    """Ask for no replicas at all; the URL stays. Runs in hand end. Again is no error."""
    return set_state(actor=actor, deployment_id=deployment_id, state=DesiredState.PAUSED, action="deployment.pause")


def resume_deployment(*, actor: User, deployment_id: UUID) -> Deployment:
    """Ask for replicas again, of what was wanted when it was paused or suspended. Of one that is neither nothing changes.

    Raises PaymentRequired when credits do not do for a start.
    """
    return set_state(actor=actor, deployment_id=deployment_id, state=DesiredState.RUNNING, action="deployment.resume")


def set_state(*, actor: User, deployment_id: UUID, state: DesiredState, action: str) -> Deployment:
    """Want another state."""
    with intent(actor, deployment_id) as change:
        if change.deployment.desired_state != state:
            if state == DesiredState.RUNNING:
                reserve_start(change.deployment)
            else:
                take_start_back(change.deployment)
            change.deployment.desired_state = state
            change.made(action)
    return visible_deployment(actor, deployment_id)


def configure_deployment(*, actor: User, deployment_id: UUID, **wanted: Any) -> Deployment:
    """Change how many replicas there may be, when it sleeps, when it ends, and whether a faulty version is taken back.

    `wanted`: min_replicas, max_replicas, idle_seconds, expires_at, auto_rollback. Raises InvalidInput for what cannot be together.
    """
    with intent(actor, deployment_id) as change:
        deployment = change.deployment
        differing = {name: value for name, value in wanted.items() if getattr(deployment, name) != value}
        for name, value in differing.items():
            setattr(deployment, name, value)
        check_scaling(deployment)
        if "expires_at" in differing and deployment.expires_at is not None and deployment.expires_at <= clock.now():
            raise InvalidInput("past_expiry", "expires_at is in the past.", fields={"expires_at": ["Give a time to come, or null."]})
        if differing:
            change.made("deployment.configure", **{name: str(value) for name, value in differing.items()})
    return visible_deployment(actor, deployment_id)


def check_scaling(deployment: Deployment) -> None:
    """Refuse numbers of replicas that cannot be."""
    least, most = deployment.min_replicas, deployment.max_replicas
    if not 0 <= least <= most or not 1 <= most <= MOST_REPLICAS:
        detail = f"min_replicas is 0 to max_replicas, max_replicas is 1 to {MOST_REPLICAS}."
        raise InvalidInput("bad_scaling", detail, fields={"min_replicas": [detail]})
    if least == 0 and deployment.flavour != "SERVERLESS":
        detail = "Only SERVERLESS deployments can go to zero replicas. Pause an instance instead, or give it a schedule."
        raise InvalidInput("bad_scaling", detail, fields={"min_replicas": [detail]})
    if least == 0 and deployment.idle_seconds < LEAST_IDLE_SECONDS:
        detail = f"With min_replicas 0, idle_seconds is at least {LEAST_IDLE_SECONDS}."
        raise InvalidInput("bad_scaling", detail, fields={"idle_seconds": [detail]})


def delete_deployment(*, actor: User, deployment_id: UUID) -> None:
    """Ask for the end: the endpoint closes at once, the infrastructure goes, and it is DELETED when the provider confirms. Again is no error."""
    visible = visible_deployment(actor, deployment_id)
    require(actor, Permission.DEPLOYMENT_DELETE, project_of(visible))
    with transaction.atomic():
        if want_deletion(visible):
            note(actor, "deployment.delete", visible, workspace=project_of(visible).workspace_id)


def want_deletion(deployment: Deployment) -> bool:
    """Write the wish for the end; returns whether it is new."""
    rows = Deployment.objects.filter(pk=deployment.pk).exclude(desired_state=DesiredState.DELETED)
    now = clock.now()
    changed = rows.update(desired_state=DesiredState.DELETED, generation=F("generation") + 1, next_check_at=now, updated_at=now)
    if changed:
        wake_on_commit(deployment.pk)
    return bool(changed)


@dataclass(slots=True)
class Change:
    """A deployment under its lock, and whether its intent was changed."""

    actor: User
    deployment: Deployment
    workflow: Workflow

    def made(self, action: str, **details: str) -> None:
        """Keep the change: a new generation, due at once, noted in the trail."""
        deployment = self.deployment
        deployment.generation += 1
        deployment.next_check_at = deployment.updated_at = clock.now()
        deployment.save(update_fields=INTENT)
        wake_on_commit(deployment.pk)
        note(self.actor, action, deployment, workspace=self.workflow.project.workspace_id, **details)


@contextmanager
def intent(actor: User, deployment_id: UUID) -> Iterator[Change]:
    """Lock a deployment that the actor may edit. Raises NotFound, PermissionDenied, Conflict (being deleted)."""
    visible = visible_deployment(actor, deployment_id)
    require(actor, Permission.DEPLOYMENT_EDIT, project_of(visible))
    with transaction.atomic():
        rows = Deployment.objects.select_for_update(no_key=True, of=("self",)).select_related("wanted_version", "workflow__current")
        deployment = rows.get(pk=visible.pk)
        if deployment.workflow is None or deployment.desired_state == DesiredState.DELETED:
            raise Conflict("being_deleted", "This deployment is being deleted. Deploy the workflow again instead.")
        yield Change(actor, deployment, deployment.workflow)


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
