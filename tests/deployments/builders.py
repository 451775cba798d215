"""Workflows to deploy, made without the examples of the product."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Mapping
from typing import Any

from controlplane.accounts.models import User
from controlplane.common.ids import uuid7
from controlplane.common.objectstore import object_store
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.workspaces.services import create_personal_namespace
from deployments.models import Deployment
from deployments.services import request_deployment

NUMBERS = itertools.count(1)


def workflow_json(task: str = "ocv_blur") -> dict[str, Any]:
    """A workflow of one built-in task."""
    data = {
        "name": task,
        "language": 0,
        "inputs": [{"name": "IODataType.IMAGE"}],
        "outputs": [{"name": "IODataType.IMAGE"}],
        "parameters": [],
    }
    return {
        "api": {"python_version": "3.11", "version": "0.16.1"},
        "connections": [{"source_id": -1, "source_index": 0, "target_id": 0, "target_index": 0}],
        "exposed_outputs": [],
        "exposed_parameters": [],
        "metadata": {"name": task, "description": "", "keywords": ""},
        "tasks": [{"task_id": 0, "task_data": data}],
    }


def zip_of(files: Mapping[str, str | bytes]) -> bytes:
    """A zip archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def archive_of(files: Mapping[str, str | bytes] | None = None, task: str = "ocv_blur") -> bytes:
    """A push archive: workflow.json and these further files."""
    return zip_of({"workflow.json": json.dumps(workflow_json(task)), **(files or {})})


def make_owner() -> User:
    """A user with a personal namespace and nothing else."""
    name = f"owner{next(NUMBERS)}"
    user = User.objects.create(username=name, email=f"{name}@example.com")
    create_personal_namespace(user=user)
    return user


def make_workflow(owner: User, files: Mapping[str, str | bytes] | None = None, *, task: str = "ocv_blur") -> Workflow:
    """A workflow with one version in a project of its own; its archive is in the object store."""
    project = Project.objects.create(namespace=owner.namespaces.get(), name=f"project{next(NUMBERS)}")
    workflow = Workflow.objects.create(project=project, name="harbour")
    push(workflow, files, task=task)
    return workflow


def push(workflow: Workflow, files: Mapping[str, str | bytes] | None = None, *, task: str = "ocv_blur") -> WorkflowVersion:
    """Add a version."""
    key = f"archives/{uuid7()}.zip"
    archive = archive_of({**(files or {}), f"notes/{uuid7()}.txt": "makes each version another bundle"}, task)
    object_store().put_bytes(key, archive)
    version = WorkflowVersion.objects.create(
        workflow=workflow,
        number=workflow.versions.count() + 1,
        data=workflow_json(task),
        archive_key=key,
        archive_sha256="0" * 64,
        archive_size=len(archive),
    )
    workflow.current = version
    workflow.save()
    return version


def deploy(owner: User, workflow: Workflow | None = None, **offer: str) -> Deployment:
    """Ask for a deployment of a workflow."""
    wanted = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M", **offer}
    return request_deployment(actor=owner, workflow_id=(workflow or make_workflow(owner)).pk, **wanted)
