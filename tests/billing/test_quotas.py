"""Quotas: one more is refused where the plan allows no more, and what is there stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from billing.models import LedgerEntry, Plan, Wallet
from billing.plans import plan_by_code
from billing.subscriptions import begin_subscription
from billing.wallets import open_wallet, wallet_of
from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.common.objectstore import object_store
from controlplane.hub.models import Algorithm
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.workspaces.models import Namespace, Organization
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from deployments.models import Deployment
from deployments.states import DesiredState, Status
from tests.deployments.builders import archive_of
from tests.factories import make_member, make_organization, make_project, make_shared_project, make_user, make_workflow

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]
CLUSTER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}


@pytest.fixture(autouse=True)
def plans(settings: Any) -> None:
    """People get the free plan, organizations none."""
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", ""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep hints out of the broker."""
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda *_, **__: None)


@pytest.fixture
def organization(user: User) -> Organization:
    return make_organization(user)


def root_of(owner: User | Organization) -> Namespace:
    return owner.namespaces.get(parent=None)


def limit(**quotas: int | None) -> None:
    """Give the free plan other quotas."""
    Plan.objects.filter(code="free").update(**quotas)


def create(client: APIClient, namespace: Namespace, name: str) -> Any:
    return client.post(f"/v1/namespaces/{namespace.pk}/projects/", {"name": name}, format="json")


def push(client: APIClient, project: Project, name: str = "ocv_blur") -> Any:
    file = SimpleUploadedFile("w.zip", archive_of(task=name), content_type="application/octet-stream")
    return client.post(f"/v1/projects/{project.pk}/workflows/", {"archive": file}, format="multipart")


def add_algorithm(client: APIClient, namespace: Namespace, name: str, **fields: Any) -> Any:
    return client.post(f"/v1/namespaces/{namespace.pk}/algos/", {"name": name, **fields}, format="json")


def deploy(client: APIClient, workflow: Workflow, **offer: str) -> Any:
    return client.post(f"/v1/workflows/{workflow.pk}/deployments/", CLUSTER | offer, format="json")


def archives(project: Project) -> list[str]:
    store = object_store()
    listing = store.client.list_objects_v2(Bucket=store.bucket, Prefix=f"archives/{project.pk}/")
    return [row["Key"] for row in listing.get("Contents", [])]


def test_the_free_plan_has_room_for_three_projects_beside_the_sample(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    assert [create(client, root, name).status_code for name in ("north", "south", "west")] == [201] * 3
    lines = AuditEntry.objects.count()

    refused = create(client, root, "east")

    assert refused.status_code == 409
    told = refused.json()
    assert told["code"] == "quota_reached"
    assert told["fields"] == {"quota": "projects", "limit": 3, "used": 3, "lifted_by": "starter-monthly"}
    assert told["detail"] == (
        "The plan Free allows 3 projects, and this workspace has 3. The plan Starter allows 10: change to it, or delete what is not needed."
    )
    assert Project.objects.filter(namespace=root).count() == 4
    assert AuditEntry.objects.count() == lines


def test_a_deleted_project_makes_room(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    urls = [create(client, root, name).json()["url"] for name in ("north", "south", "west")]

    assert client.delete(urls[0]).status_code == 204
    assert create(client, root, "east").status_code == 201


def test_a_new_name_for_a_project_is_not_another_project(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    urls = [create(client, root, name).json()["url"] for name in ("north", "south", "west")]
    sample = Project.objects.get(namespace=root, sample=True)

    assert client.put(urls[0], {"name": "east"}, format="json").status_code == 200
    assert client.put(f"/v1/projects/{sample.pk}/", {"name": "mine"}, format="json").status_code == 200
    assert create(client, root, "tides").json()["fields"]["used"] == 3


def test_a_name_that_is_taken_is_told_as_such_while_there_is_room(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    create(client, root, "north")

    assert create(client, root, "north").json()["code"] == "name_taken"


def test_sub_namespaces_count_towards_their_workspace(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    below = create_namespace(actor=user, parent_id=root.pk, name="belts")
    assert [create(client, place, name).status_code for place, name in ((root, "north"), (below, "south"), (below, "west"))] == [201] * 3

    assert create(client, below, "east").json()["code"] == "quota_reached"
    assert create(client, root, "east").json()["code"] == "quota_reached"
    assert not Project.objects.filter(name="east").exists()


def test_workspaces_do_not_share_a_quota(api: Api, user: User, organization: Organization) -> None:
    for name in ("north", "south", "west"):
        make_project(user, name)

    assert create(api(user), root_of(organization), "east").status_code == 201


def test_what_is_above_a_lowered_limit_stays_and_works(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    project = make_project(user, "north")
    make_project(user, "south")
    limit(max_projects=1, max_workflows=0)

    assert client.put(f"/v1/projects/{project.pk}/", {"description": "still here"}, format="json").status_code == 200
    refused = create(client, root, "east")
    assert refused.json()["fields"] == {"quota": "projects", "limit": 1, "used": 2, "lifted_by": "starter-monthly"}


def test_a_sign_up_succeeds_under_a_plan_that_allows_nothing(api: Api) -> None:
    limit(max_projects=0, max_workflows=0)

    user = make_user()

    sample = Project.objects.get(namespace=root_of(user))
    assert (sample.name, sample.sample, sample.workflows.filter(sample=True).count()) == ("Getting_started", True, 4)
    assert create(api(user), root_of(user), "east").json()["fields"]["used"] == 0


def test_a_plan_without_a_limit_refuses_nothing(api: Api, user: User) -> None:
    limit(max_projects=None)

    assert [create(api(user), root_of(user), f"p{number}").status_code for number in range(6)] == [201] * 6


def test_another_plan_lifts_the_quota_at_once(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    for name in ("north", "south", "west"):
        make_project(user, name)
    assert create(client, root, "east").status_code == 409

    begin_subscription(wallet=wallet_of(root), plan=plan_by_code("starter-monthly"))

    assert create(client, root, "east").status_code == 201


def test_who_pays_by_the_year_is_told_of_a_yearly_plan(api: Api, user: User) -> None:
    root = root_of(user)
    begin_subscription(wallet=wallet_of(root), plan=plan_by_code("starter-yearly"))
    Plan.objects.filter(code="starter-yearly").update(max_projects=0)

    assert create(api(user), root, "east").json()["fields"]["lifted_by"] == "basic-yearly"


def test_the_largest_plan_is_lifted_by_nobody_but_the_operator(api: Api, user: User) -> None:
    root = root_of(user)
    begin_subscription(wallet=wallet_of(root), plan=plan_by_code("pro-monthly"))
    Plan.objects.update(max_projects=0)

    told = create(api(user), root, "east").json()

    assert told["fields"]["lifted_by"] is None
    assert "ask the operator" in told["detail"]


def test_where_a_plan_allows_none_at_all_nobody_is_told_to_delete_something(api: Api, user: User) -> None:
    client, root = api(user), root_of(user)
    limit(max_projects=0)

    assert create(client, root, "east").json()["detail"] == "The plan Free allows no projects. Change to the plan Starter, which allows 10."
    Plan.objects.update(max_projects=0)
    assert create(client, root, "east").json()["detail"] == (
        "The plan Free allows no projects. No plan that can be chosen allows any: ask the operator."
    )
    assert not Project.objects.filter(name="east").exists()


def test_a_plan_that_organizations_cannot_have_is_not_named_to_them(api: Api, user: User, organization: Organization) -> None:
    limit(max_projects=0)
    Plan.objects.filter(code="starter-monthly").update(organizations=False)
    Plan.objects.filter(code="starter-yearly").update(offered=False)

    assert create(api(user), root_of(organization), "east").json()["fields"]["lifted_by"] == "basic-monthly"


# Workflows


def test_a_new_workflow_counts_and_another_version_does_not(api: Api, user: User) -> None:
    limit(max_workflows=1)
    object_store().ensure_bucket()
    client, project = api(user), make_project(user)
    assert push(client, project, "ocv_blur").status_code == 201

    refused, again = push(client, project, "ocv_canny"), push(client, project, "ocv_blur")

    assert refused.status_code == 409
    assert refused.json()["fields"] == {"quota": "workflows", "limit": 1, "used": 1, "lifted_by": "starter-monthly"}
    assert (again.status_code, again.json()["tag"]) == (201, "v2")
    assert [workflow.name for workflow in Workflow.objects.filter(project=project)] == ["ocv_blur"]


def test_a_refused_push_leaves_nothing_in_the_object_store(api: Api, user: User) -> None:
    limit(max_workflows=0)
    object_store().ensure_bucket()
    client, project = api(user), make_project(user)
    before = (AuditEntry.objects.count(), WorkflowVersion.objects.count(), Wallet.objects.count(), LedgerEntry.objects.count())

    assert push(client, project).status_code == 409

    assert archives(project) == []
    assert (AuditEntry.objects.count(), WorkflowVersion.objects.count(), Wallet.objects.count(), LedgerEntry.objects.count()) == before


def test_workflows_of_the_sample_do_not_count_and_can_be_pushed_to(api: Api, user: User) -> None:
    limit(max_workflows=1)
    object_store().ensure_bucket()
    sample = Project.objects.get(namespace=root_of(user))
    Workflow.objects.filter(project=sample, name="blur").update(name="ocv_blur")
    client = api(user)

    assert push(client, sample, "ocv_blur").json()["tag"] == "v2"
    assert push(client, sample, "ocv_canny").status_code == 201
    assert push(client, sample, "ocv_flip").json()["fields"]["used"] == 1


# Algorithms


def test_algorithms_count_in_all_of_the_workspace(api: Api, user: User) -> None:
    limit(max_algorithms=2)
    client, root = api(user), root_of(user)
    below = create_namespace(actor=user, parent_id=root.pk, name="belts")
    assert [add_algorithm(client, place, name).status_code for place, name in ((root, "north"), (below, "south"))] == [201] * 2

    refused = add_algorithm(client, below, "west")

    assert refused.status_code == 409
    assert refused.json()["fields"] == {"quota": "algorithms", "limit": 2, "used": 2, "lifted_by": "starter-monthly"}
    assert Algorithm.objects.count() == 2


# Deployments


def test_the_free_plan_has_room_for_one_deployment_and_its_end_makes_room_at_once(api: Api, user: User) -> None:
    client, project = api(user), make_project(user)
    workflow = make_workflow(project)
    first = deploy(client, workflow)
    assert first.status_code == 201

    refused = deploy(client, workflow)
    assert refused.status_code == 409
    assert refused.json()["fields"] == {"quota": "deployments", "limit": 1, "used": 1, "lifted_by": "starter-monthly"}
    assert Deployment.objects.count() == 1

    assert client.delete(first.json()["url"]).status_code == 204
    assert Deployment.objects.get().desired_state == DesiredState.DELETED
    assert deploy(client, workflow).status_code == 201


def test_paused_suspended_and_failed_deployments_count(api: Api, user: User) -> None:
    client, workflow = api(user), make_workflow(make_project(user))
    assert deploy(client, workflow).status_code == 201

    for status in (Status.PAUSED, Status.SUSPENDED, Status.ERROR, Status.STUCK):
        Deployment.objects.update(status=status)
        assert deploy(client, workflow).status_code == 409


def test_a_deployment_above_a_lowered_limit_can_be_changed_and_resumed(api: Api, user: User) -> None:
    client, workflow = api(user), make_workflow(make_project(user))
    url = deploy(client, workflow).json()["url"]
    Plan.objects.filter(code="free").update(max_deployments=0, infrastructures=["AWS SERVERLESS"])

    assert client.put(url, {"size": "S"}, format="json").status_code == 200
    assert client.post(f"{url}pause/").status_code == 202
    assert client.post(f"{url}resume/").status_code == 202
    assert client.post(f"{url}restart/").status_code == 202
    assert deploy(client, workflow).json()["code"] == "not_in_plan"


def test_an_organization_without_a_plan_has_what_the_free_plan_has_but_no_deployment(
    api: Api, user: User, organization: Organization
) -> None:
    client, root = api(user), root_of(organization)
    assert [create(client, root, name).status_code for name in ("north", "south", "west")] == [201] * 3
    refused = create(client, root, "east")
    assert refused.json()["detail"].startswith("Without a plan a workspace may have 3 projects, and this workspace has 3.")
    workflow = make_workflow(Project.objects.get(name="north"), user=user)

    answer = deploy(client, workflow)

    assert answer.status_code == 403
    assert answer.json()["code"] == "not_in_plan"
    assert answer.json()["detail"] == "Deployments need a plan, and this organization has none. Choose the plan Starter first."
    assert answer.json()["fields"] == {"lifted_by": "starter-monthly"}
    assert not Deployment.objects.exists()


def test_an_organization_with_a_plan_deploys(api: Api, user: User, organization: Organization) -> None:
    wallet = open_wallet(organization.pk, is_personal=False)
    begin_subscription(wallet=wallet, plan=plan_by_code("starter-monthly"))
    workflow = make_workflow(make_shared_project(organization), user=user)
    manager = make_member(organization, Role.MANAGER)

    assert [deploy(api(manager), workflow).status_code for _ in range(4)] == [201, 201, 201, 409]
