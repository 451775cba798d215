"""What can be done with projects and workflows."""

from __future__ import annotations

import re
from typing import Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from controlplane.accounts.models import User
from controlplane.common.errors import Conflict, InvalidInput
from controlplane.common.ids import uuid7
from controlplane.common.lookup import visible_or_404
from controlplane.common.objectstore import object_store
from controlplane.projects.archive import ArchiveLimits, CheckedArchive, check_archive
from controlplane.projects.examples_catalogue import GETTING_STARTED, PREFIX, example
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.projects.signals import project_creating, project_deleting, workflow_creating
from controlplane.projects.sources import is_known
from controlplane.workspaces.models import Namespace, Visibility
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import announce_lowered, default_visibility, forget_target, locked_namespace, visible_namespace
from controlplane.workspaces.trail import changed, note

NAME_RULE = re.compile(r"^[A-Za-z0-9](?:[\w .-]{0,98}[\w-])?$", re.ASCII)


def create_project(*, actor: User, namespace_id: UUID, name: str, description: str = "", visibility: str | None = None) -> Project:
    """Create a project in a namespace; without a visibility it is the team's in an organization, else private.

    Raises `NotFound`, `PermissionDenied`, `InvalidInput` (name) and `Conflict` (taken, or as many as the plan allows).
    """
    require(actor, Permission.PROJECT_CREATE, visible_namespace(actor, namespace_id))
    check_project_name(name)
    try:
        with transaction.atomic():
            namespace = locked_namespace(namespace_id)
            project_creating.send(sender=Project, namespace=namespace)
            visibility = visibility or default_visibility(namespace)
            project = Project.objects.create(namespace=namespace, name=name, description=description, visibility=visibility)
            note(actor, "project.create", project, workspace=project.workspace_id, visibility=visibility)
    except IntegrityError as error:
        raise name_taken(name, namespace) from error
    return project


def update_project(*, actor: User, project_id: UUID, **changes: str) -> Project:
    """Change name, description or visibility."""
    require(actor, Permission.PROJECT_EDIT, visible_project(actor, project_id))
    if "name" in changes:
        check_project_name(changes["name"])
    try:
        with transaction.atomic():
            project = locked_project(project_id)
            require(actor, Permission.PROJECT_EDIT, project)
            before = {field: getattr(project, field) for field in changes}
            if told := changed(before, changes):
                for field in told:
                    setattr(project, field, changes[field])
                project.save(update_fields=[*told, "updated_at"])
                if project.namespace.organization is not None and "visibility" in told and project.visibility == Visibility.PRIVATE:
                    announce_lowered(project.namespace.organization, project.path)
                note(actor, "project.edit", project, workspace=project.workspace_id, changed=told)
    except IntegrityError as error:
        raise name_taken(changes.get("name", ""), project.namespace) from error
    return project


def delete_project(*, actor: User, project_id: UUID) -> None:
    """Delete an empty project. Raises `Conflict` naming the workflows, or saying what else is still in it."""
    project = visible_project(actor, project_id)
    require(actor, Permission.PROJECT_DELETE, project)
    try:
        with transaction.atomic():
            require(actor, Permission.PROJECT_DELETE, locked_project(project_id))
            project_deleting.send(sender=Project, project=project)
            Project.objects.get(pk=project.pk).delete()
            forget_target(project.pk)
            note(actor, "project.delete", project, workspace=project.workspace_id)
    except ProtectedError as error:
        raise project_not_empty(project) from error


def locked_project(project_id: UUID) -> Project:
    """Return a project that nobody else changes or deletes until the transaction ends. Raises `NotFound`."""
    rows: Any = Project.objects.select_for_update(no_key=True, of=("self",)).select_related("namespace__parent", "namespace__organization")
    found: Project = visible_or_404(rows, pk=project_id)
    return found


def project_not_empty(project: Project) -> Conflict:
    """Return the refusal to delete a project, with its workflows and what they are deployed on."""
    # Deployments stand above this room: only their names are read, through the relation that they have to a workflow.
    rows: list[Any] = list(project.workflows.order_by("name").prefetch_related("deployments")[:100])
    deployed = {row.name: [str(deployment) for deployment in row.deployments.all()] for row in rows}
    told = [f"{name} (deployed on {', '.join(places)})" if places else name for name, places in deployed.items()]
    more = f" and {len(told) - 10} more" if len(told) > 10 else ""
    return Conflict(
        "project_not_empty",
        f"'{project.path}' still has workflows: {', '.join(told[:10])}{more}. Delete them first, each after its deployments.",
        fields={"workflows": list(deployed), "deployments": [place for places in deployed.values() for place in places]},
    )


def push_workflow(*, actor: User, project_id: UUID, archive: BinaryIO) -> Workflow:
    """Check an archive, store it, and make it the newest version of the workflow that it names.

    Nothing is stored unless the check passes. Raises `InvalidInput` with what is wrong and where, and `Conflict` for a new workflow when there are as
    many as the plan allows.
    """
    project = visible_project(actor, project_id)
    require(actor, Permission.WORKFLOW_PUSH, project)
    limits = ArchiveLimits(archive_bytes=settings.PUSH_MAX_BYTES)
    checked = check_archive(archive, limits=limits, known=lambda name: is_known(project, name, actor))
    version_id = uuid7()
    key = f"archives/{project.pk}/{version_id}.zip"
    archive.seek(0)
    object_store().put_file(key, archive, content_type="application/zip")
    try:
        with transaction.atomic():
            project = locked_project(project_id)
            require(actor, Permission.WORKFLOW_PUSH, project)
            # Under the project's lock nobody else gives it a workflow of this name.
            if not project.workflows.filter(name=checked.name).exists():
                workflow_creating.send(sender=Workflow, project=project)
            workflow = add_version(project, checked, key, actor, version_id)
            tag = workflow.current.tag if workflow.current else ""
            note(actor, "workflow.push", workflow, workspace=project.workspace_id, tag=tag, sha256=checked.sha256)
            return workflow
    except BaseException:
        object_store().delete(key)
        raise


def add_version(project: Project, checked: CheckedArchive, key: str, actor: User, version_id: UUID, *, sample: bool = False) -> Workflow:
    """Write the rows of a version: the workflow when the name is new, then the next number under its lock."""
    with transaction.atomic():
        fields = {"description": checked.description, "sample": sample}
        named, _ = Workflow.objects.get_or_create(project=project, name=checked.name, defaults=fields)
        workflow: Workflow = Workflow.objects.select_for_update(no_key=True, of=("self",)).select_related("project").get(pk=named.pk)
        newest = workflow.versions.order_by("-number").values_list("number", flat=True).first() or 0
        workflow.current = WorkflowVersion.objects.create(
            id=version_id,
            workflow=workflow,
            number=newest + 1,
            data=checked.data,
            plugins=list(checked.plugins),
            algorithms=list(checked.algorithms),
            archive_key=key,
            archive_sha256=checked.sha256,
            archive_size=checked.size,
            created_by=actor,
        )
        workflow.description = checked.description
        workflow.save()
    return workflow


def delete_workflow(*, actor: User, workflow_id: UUID) -> None:
    """Delete a workflow with all its versions. Raises `Conflict` while deployments run it."""
    workflow = visible_or_404(Workflow.objects.visible_to(actor).select_related("project__namespace__parent"), pk=workflow_id)
    require(actor, Permission.WORKFLOW_DELETE, workflow.project)
    keys = [key for key in workflow.versions.values_list("archive_key", flat=True) if not key.startswith(PREFIX)]
    try:
        with transaction.atomic():
            Workflow.objects.get(pk=workflow.pk).delete()
            note(actor, "workflow.delete", workflow, workspace=workflow.project.workspace_id)
    except ProtectedError as error:
        names = ", ".join(sorted(str(row) for row in error.protected_objects)[:10])
        raise Conflict("workflow_deployed", f"'{workflow.name}' is still deployed: {names}. Delete these deployments first.") from error
    for key in keys:
        object_store().delete(key)


def create_getting_started(*, user: User) -> Project:
    """Create the project with the example workflows that every new user gets; its archives are shared, so no object is written.

    It is a gift: no plan's quota is asked, so that a sign-up cannot fail by one, and nothing of it counts.
    """
    namespace = Namespace.objects.get(owner=user, parent=None, path=user.username)
    project = Project.objects.create(
        namespace=namespace,
        name="Getting_started",
        description="Example workflows. Deploy one, call its endpoint, then push your own.",
        sample=True,
    )
    for name in GETTING_STARTED:
        found = example(name)
        add_version(project, found.checked, found.key, user, uuid7(), sample=True)
    return project


def visible_project(actor: User, project_id: UUID) -> Project:
    """Return a project that the actor sees. Raises `NotFound`."""
    rows: Any = Project.objects.visible_to(actor).select_related("namespace__parent", "namespace__organization")
    project: Project = visible_or_404(rows, pk=project_id)
    return project


def check_project_name(name: str) -> None:
    """Refuse names that could not be part of a path."""
    if not NAME_RULE.match(name):
        raise InvalidInput(
            "name",
            "A project's name has 1 to 100 letters, digits, spaces, '_', '.' or '-', and begins with a letter or digit.",
            fields={"name": ["not a valid name"]},
        )


def name_taken(name: str, namespace: Namespace) -> Conflict:
    """Return the refusal for a second project of one name."""
    return Conflict("name_taken", f"'{namespace.path}' already has a project '{name}'. Choose another name.", fields={"name": ["taken"]})
