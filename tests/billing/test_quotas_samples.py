"""What came with a sign-up before samples were marked is found by the migration."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.apps import apps

from controlplane.projects.models import Project, Workflow
from tests.factories import make_organization, make_project, make_shared_project, make_user, make_workflow

pytestmark = pytest.mark.django_db
MARK = import_module("controlplane.projects.migrations.0004_mark_samples")


def test_what_sign_ups_brought_is_marked_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MARK, "BATCH", 3)
    users = [make_user() for _ in range(2)]
    brought = {project.pk for project in Project.objects.filter(sample=True)}
    examples = {workflow.pk for workflow in Workflow.objects.filter(sample=True)}
    own = make_project(users[0])
    make_workflow(own)
    Workflow.objects.create(project=Project.objects.get(namespace__owner=users[0], sample=True), name="pushed_into_it")
    alike = make_shared_project(make_organization(users[0]), "Getting_started")
    Project.objects.update(sample=False)
    Workflow.objects.update(sample=False)

    for _ in range(2):
        MARK.mark_samples(apps, None)

    assert {project.pk for project in Project.objects.filter(sample=True)} == brought
    assert {workflow.pk for workflow in Workflow.objects.filter(sample=True)} == examples
    assert alike.pk not in brought
    assert len(brought) == 2
    assert len(examples) == 8
