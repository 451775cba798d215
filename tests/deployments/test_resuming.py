"""All that was suspended back by one action: of those that the caller may edit, and of no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from billing.grants import grant_credits
from billing.models import GrantSource
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.projects.models import Project, Workflow
from controlplane.workspaces.members import give_role
from controlplane.workspaces.models import Namespace, Organization, Visibility
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from deployments.models import Deployment
from deployments.states import DesiredState, Status
from tests.deployments.builders import deploy, push
from tests.factories import make_member, make_organization
from tests.fakes.provider import FakeProvider

pytestmark = pytest.mark.usefixtures("paying")
Api = Callable[..., APIClient]


@pytest.fixture
def organization(owner: User, settings: Settings) -> Organization:
    """An organization of the owner's, with credits."""
    settings.ORGANIZATION_PLAN = "custom"
    made = make_organization(owner)
    grant_credits(wallet_id=wallet_of(made.namespaces.get()).pk, amount=10**9, key="all", source=GrantSource.OPERATOR)
    return made


def suspended(owner: User, namespace: Namespace, name: str) -> Deployment:
    """A deployment that was suspended, in a project of its own."""
    project = Project.objects.create(namespace=namespace, name=name, visibility=Visibility.TEAM)
    workflow = Workflow.objects.create(project=project, name="harbour")
    push(workflow)
    made = deploy(owner, workflow=workflow)
    Deployment.objects.filter(pk=made.pk).update(status=Status.SUSPENDED, desired_state=DesiredState.PAUSED)
    return made


def wanted(deployment: Deployment) -> str:
    """What is wanted of a deployment now."""
    return str(Deployment.objects.values_list("desired_state", flat=True).get(pk=deployment.pk))


def test_who_manages_a_part_of_a_workspace_resumes_that_part(
    owner: User, cloud: FakeProvider, api: Api, organization: Organization
) -> None:
    root = organization.namespaces.get()
    inner = create_namespace(actor=owner, parent_id=root.pk, name="inner")
    colleague = make_member(organization, Role.MEMBER)
    give_role(actor=owner, target=inner, user_id=colleague.pk, role=Role.MANAGER)
    own, others = suspended(owner, inner, "own"), suspended(owner, root, "others")

    answer = api(colleague).post(f"/v1/namespaces/{inner.pk}/resume/")

    assert answer.status_code == 202, answer.json()
    assert [one["uid"] for one in answer.json()["resumed"]] == [str(own.pk)]
    assert answer.json()["refused"] == []
    assert (wanted(own), wanted(others)) == ("RUNNING", "PAUSED")


def test_members_resume_nothing(owner: User, cloud: FakeProvider, api: Api, organization: Organization) -> None:
    root = organization.namespaces.get()
    one = suspended(owner, root, "one")

    assert api(make_member(organization, Role.MEMBER)).post(f"/v1/namespaces/{root.pk}/resume/").status_code == 403

    assert wanted(one) == "PAUSED"


def test_what_somebody_paused_stays_paused(owner: User, cloud: FakeProvider, api: Api, organization: Organization) -> None:
    root = organization.namespaces.get()
    one = suspended(owner, root, "one")
    Deployment.objects.filter(pk=one.pk).update(status=Status.PAUSED)

    assert api(owner).post(f"/v1/namespaces/{root.pk}/resume/").json() == {"resumed": [], "refused": []}

    assert wanted(one) == "PAUSED"
