"""Many who create at once: as many get through as there is room for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from rest_framework.test import APIClient

from billing.models import Plan, Subscription, Wallet
from controlplane.audit.models import AuditEntry
from controlplane.common.objectstore import object_store
from controlplane.hub.models import Algorithm
from controlplane.projects.models import Project, Workflow
from controlplane.workspaces.services import create_namespace
from deployments.models import Deployment
from tests.deployments.builders import archive_of
from tests.factories import make_project, make_user, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)
Api = Callable[..., APIClient]
CALLERS = 50


@pytest.fixture(autouse=True)
def plans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """People get the free plan; hints are kept out of the broker."""
    settings.PERSONAL_PLAN = "free"
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda *_, **__: None)


def all_at_once(work: Callable[[int], Any], count: int = CALLERS) -> list[int]:
    """Return the status of each request; all threads wait for each other, then go."""
    found = [0] * count
    start = threading.Barrier(count)

    def one(number: int) -> None:
        start.wait(20)
        try:
            found[number] = work(number).status_code
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found


def test_of_fifty_projects_at_once_with_room_for_one_there_is_one(api: Api) -> None:
    user = make_user()
    client, root = api(user), user.namespaces.get(parent=None)
    # Two namespaces: neither of their locks is what orders them.
    places = [root, create_namespace(actor=user, parent_id=root.pk, name="belts")]
    for name in ("north", "south"):
        client.post(f"/v1/namespaces/{root.pk}/projects/", {"name": name}, format="json")
    lines = AuditEntry.objects.filter(action="project.create").count()

    found = all_at_once(
        lambda number: client.post(f"/v1/namespaces/{places[number % 2].pk}/projects/", {"name": f"p{number}"}, format="json")
    )

    assert sorted(found) == [201] + [409] * (CALLERS - 1)
    assert Project.objects.filter(namespace__owner=user, sample=False).count() == 3
    assert AuditEntry.objects.filter(action="project.create").count() == lines + 1


def test_a_wallet_that_everybody_opens_at_once_is_opened_once(api: Api) -> None:
    user = make_user()
    client, root = api(user), user.namespaces.get(parent=None)

    found = all_at_once(lambda number: client.post(f"/v1/namespaces/{root.pk}/projects/", {"name": f"p{number}"}, format="json"))

    assert sorted(found) == [201] * 3 + [409] * (CALLERS - 3)
    wallet = Wallet.objects.get(workspace_id=user.pk)
    assert Subscription.objects.filter(wallet=wallet).count() == 1
    assert wallet.grants.count() == 1


def test_of_fifty_workflows_at_once_in_two_projects_only_the_last_place_is_taken(api: Api) -> None:
    object_store().ensure_bucket()
    user = make_user()
    client = api(user)
    projects = [make_project(user, name) for name in ("north", "south")]
    for number in range(9):
        Workflow.objects.create(project=projects[0], name=f"w{number}")

    def push(number: int) -> Any:
        content = archive_of(task="ocv_blur")
        file = SimpleUploadedFile("w.zip", content, content_type="application/octet-stream")
        return client.post(f"/v1/projects/{projects[number % 2].pk}/workflows/", {"archive": file}, format="multipart")

    found = all_at_once(push)

    # In the project that got it, the others made further versions of the same workflow.
    assert set(found) == {201, 409}
    assert Workflow.objects.filter(name="ocv_blur").count() == 1
    winner = Workflow.objects.get(name="ocv_blur")
    assert found.count(201) == winner.versions.count()
    store = object_store()
    for project in projects:
        listing = store.client.list_objects_v2(Bucket=store.bucket, Prefix=f"archives/{project.pk}/")
        kept = {row["Key"] for row in listing.get("Contents", [])}
        assert kept == set(winner.versions.values_list("archive_key", flat=True) if winner.project == project else [])


def test_of_fifty_algorithms_at_once_with_room_for_one_there_is_one(api: Api) -> None:
    user = make_user()
    client, root = api(user), user.namespaces.get(parent=None)
    room = Plan.objects.get(code="free").max_algorithms or 0
    for number in range(room - 1):
        Algorithm.objects.create(namespace=root, name=f"a{number}")

    found = all_at_once(lambda number: client.post(f"/v1/namespaces/{root.pk}/algos/", {"name": f"b{number}"}, format="json"))

    assert sorted(found) == [201] + [409] * (CALLERS - 1)
    assert Algorithm.objects.filter(namespace=root).count() == room


def test_of_fifty_deployments_at_once_with_room_for_one_there_is_one(api: Api) -> None:
    user = make_user()
    client = api(user)
    project = make_project(user)
    workflows = [make_workflow(project, "blur"), make_workflow(project, "edges")]
    offer = {"provider": "AWS", "region": "FRANCE", "flavour": "SERVERLESS", "size": "S"}

    found = all_at_once(lambda number: client.post(f"/v1/workflows/{workflows[number % 2].pk}/deployments/", offer, format="json"))

    assert sorted(found) == [201] + [409] * (CALLERS - 1)
    assert Deployment.objects.count() == 1
    assert AuditEntry.objects.filter(action="deployment.create").count() == 1
