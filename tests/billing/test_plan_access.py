"""Plans as the API shows them, quotas with their use, and access to infrastructures and storage by plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from billing.models import Plan, Wallet
from billing.plans import plan_by_code
from billing.subscriptions import begin_subscription
from billing.wallets import open_wallet, wallet_of
from controlplane.accounts.models import User
from controlplane.common.errors import TooLarge
from controlplane.common.ids import uuid7
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from deployments.models import Deployment
from deployments.offers import offers
from storage.models import Space
from storage.space import check_room, locked_space, space_use
from tests.factories import make_member, make_organization, make_project, make_shared_project, make_user, make_workflow

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]
GB = 1_000_000_000


@pytest.fixture(autouse=True)
def plans(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """People get the free plan, organizations none; hints are kept out of the broker."""
    settings.PERSONAL_PLAN, settings.ORGANIZATION_PLAN = "free", ""
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda *_, **__: None)


def quotas_of(client: APIClient, namespace: Any) -> dict[str, Any]:
    answer = client.get(f"/v1/namespaces/{namespace.pk}/billing/quotas/")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def by_name(told: dict[str, Any]) -> dict[str, Any]:
    return {row.pop("name"): row for row in told["quotas"]}


# Plans


def test_plans_that_can_be_chosen_are_listed_with_ones_own(api: Api, user: User) -> None:
    rows = api(user).get("/v1/plans/").json()

    assert [row["code"] for row in rows] == [
        "free",
        "starter-monthly",
        "starter-yearly",
        "basic-monthly",
        "basic-yearly",
        "pro-monthly",
        "pro-yearly",
    ]
    assert [row["code"] for row in rows if row["current"]] == ["free"]
    assert [row["code"] for row in rows if not row["offered"]] == ["free"]
    starter = rows[1]
    assert (starter["price_cents"], starter["currency"], starter["credits"], starter["micro_credits"]) == (
        1990,
        "EUR",
        "2,000",
        2000 * 10**6,
    )
    assert starter["quotas"] == {"projects": 10, "algorithms": 20, "workflows": 50, "deployments": 3, "storage_bytes": 10 * GB}
    assert (starter["interval"], starter["validity_months"], starter["infrastructures"], starter["calls_a_minute"]) == (
        "MONTH",
        6,
        ["*"],
        600,
    )


def test_looking_at_plans_opens_no_wallet(api: Api, user: User) -> None:
    api(user).get("/v1/plans/")

    assert not Wallet.objects.exists()


def test_ones_own_plan_is_the_live_one(api: Api, user: User) -> None:
    begin_subscription(wallet=wallet_of(user.namespaces.get(parent=None)), plan=plan_by_code("custom"))

    rows = api(user).get("/v1/plans/").json()

    assert [row["code"] for row in rows if row["current"]] == ["custom"]
    assert "free" not in [row["code"] for row in rows]


def test_plans_are_for_those_who_signed_in(api: Api) -> None:
    assert api().get("/v1/plans/").status_code == 401


# Quotas


def test_quotas_are_shown_with_their_use(api: Api, user: User) -> None:
    project = make_project(user)
    make_workflow(project)
    Space.objects.create(project=project, used_bytes=5000)
    Space.objects.create(project=make_project(user, "south"), used_bytes=7 * GB, quota_bytes=8 * GB)

    told = quotas_of(api(user), user.namespaces.get(parent=None))

    assert (told["plan"], told["calls_a_minute"]) == ("free", 60)
    assert by_name(told) == {
        "projects": {"limit": 3, "used": 2, "lifted_by": "starter-monthly"},
        "algorithms": {"limit": 5, "used": 0, "lifted_by": "starter-monthly"},
        "workflows": {"limit": 10, "used": 1, "lifted_by": "starter-monthly"},
        "deployments": {"limit": 1, "used": 0, "lifted_by": "starter-monthly"},
        "storage_bytes": {"limit": GB, "used": 5000, "lifted_by": "starter-monthly"},
    }


def test_a_sub_namespace_shows_the_quotas_of_its_workspace(api: Api, user: User) -> None:
    organization = make_organization(user)
    root = organization.namespaces.get()
    below = create_namespace(actor=user, parent_id=root.pk, name="belts")
    make_shared_project(organization)

    above, here = (quotas_of(api(user), one) for one in (root, below))

    assert above == here
    assert here["plan"] is None
    assert by_name(here)["deployments"] == {"limit": 0, "used": 0, "lifted_by": "starter-monthly"}


def test_no_limit_is_null_and_nothing_lifts_it(api: Api, user: User, settings: Any) -> None:
    begin_subscription(wallet=wallet_of(user.namespaces.get(parent=None)), plan=plan_by_code("custom"))

    told = quotas_of(api(user), user.namespaces.get(parent=None))

    rows = by_name(told)
    assert told["calls_a_minute"] is None
    assert rows["projects"] == {"limit": None, "used": 0, "lifted_by": None}
    assert rows["storage_bytes"] == {"limit": settings.STORAGE_PROJECT_QUOTA, "used": 0, "lifted_by": None}


def test_members_do_not_see_quotas_and_managers_do(api: Api, user: User) -> None:
    organization = make_organization(user)
    url = f"/v1/namespaces/{organization.namespaces.get().pk}/billing/quotas/"

    assert [api(make_member(organization, role)).get(url).status_code for role in (Role.MEMBER, Role.MANAGER)] == [403, 200]
    assert api(make_user()).get(url).status_code == 404
    assert api(user).get(f"/v1/namespaces/{uuid7()}/billing/quotas/").status_code == 404


# Infrastructures


def test_each_infrastructure_is_granted_or_refused_as_the_plan_says(api: Api, user: User) -> None:
    Plan.objects.filter(code="free").update(max_deployments=None)
    workflow = make_workflow(make_project(user))
    client = api(user)
    infrastructures = {(offer.provider, offer.flavour): offer for offer in offers() if offer.available}
    free = Plan.objects.get(code="free").infrastructures

    for (provider, flavour), offer in infrastructures.items():
        body = {"provider": provider, "flavour": flavour, "region": offer.regions[0], "size": offer.size}
        there = Deployment.objects.count()
        answer = client.post(f"/v1/workflows/{workflow.pk}/deployments/", body, format="json")
        if f"{provider} {flavour}" in free:
            assert answer.status_code == 201
        else:
            assert answer.status_code == 403
            assert answer.json()["code"] == "not_in_plan"
            assert answer.json()["fields"] == {"lifted_by": "starter-monthly"}
            assert answer.json()["detail"].startswith(
                f"{provider} {flavour} is not in the plan Free, which has AWS SERVERLESS, AWS CLUSTER"
            )
            assert Deployment.objects.count() == there
    assert {f"{one.provider} {one.flavour}" for one in Deployment.objects.all()} == set(free)


def test_a_paid_plan_has_every_infrastructure(api: Api, user: User) -> None:
    organization = make_organization(user)
    begin_subscription(wallet=open_wallet(organization.pk, is_personal=False), plan=plan_by_code("starter-monthly"))
    workflow = make_workflow(make_shared_project(organization), user=user)
    body = {"provider": "GCP", "flavour": "GPU", "region": "NETHERLANDS", "size": "XS"}

    answer = api(user).post(f"/v1/workflows/{workflow.pk}/deployments/", body, format="json")
    assert answer.status_code == 201, answer.json()


def test_another_name_of_a_provider_is_the_same_infrastructure(api: Api, user: User) -> None:
    workflow = make_workflow(make_project(user))
    body = {"provider": "SCALEWAY_VIA_SCALEDYNAMICS", "flavour": "CLUSTER", "region": "FRANCE", "size": "S"}

    answer = api(user).post(f"/v1/workflows/{workflow.pk}/deployments/", body, format="json")
    assert answer.status_code == 201, answer.json()


# Storage


def test_each_project_has_the_storage_of_the_plan(user: User) -> None:
    project = make_project(user)
    assert space_use(project.pk).quota_bytes == GB

    begin_subscription(wallet=wallet_of(project.namespace), plan=plan_by_code("basic-monthly"))

    assert space_use(project.pk).quota_bytes == 50 * GB


def test_what_an_operator_gave_a_project_comes_before_the_plan(user: User) -> None:
    project = make_project(user)
    Space.objects.create(project=project, quota_bytes=123)

    assert space_use(project.pk).quota_bytes == 123
    with pytest.raises(TooLarge) as refused:
        check_room(locked_space(project.pk), size=124, replaced=None)
    assert refused.value.fields is not None
    assert refused.value.fields["lifted_by"] is None
    assert "ask the operator" in refused.value.detail


def test_where_the_plan_has_no_limit_that_of_the_installation_holds(user: User, settings: Any) -> None:
    settings.STORAGE_PROJECT_QUOTA = 777
    project = make_project(user)
    begin_subscription(wallet=wallet_of(project.namespace), plan=plan_by_code("custom"))

    assert space_use(project.pk).quota_bytes == 777
    with pytest.raises(TooLarge) as refused:
        check_room(locked_space(project.pk), size=778, replaced=None)
    assert "ask the operator" in refused.value.detail


def test_full_storage_tells_the_plan_that_has_more(user: User) -> None:
    project = make_project(user)
    space = locked_space(project.pk)

    check_room(space, size=GB, replaced=None)
    with pytest.raises(TooLarge) as refused:
        check_room(space, size=GB + 1, replaced=None)

    assert refused.value.fields == {"size": [f"{GB + 1} bytes do not fit"], "limit": GB, "lifted_by": "starter-monthly"}
    assert refused.value.detail.endswith("or change to the plan Starter, which gives each project 10.0 GB.")


def test_storage_above_a_lowered_limit_stays(api: Api, user: User) -> None:
    project = make_project(user)
    Space.objects.create(project=project, used_bytes=2 * GB, count=1)

    assert by_name(quotas_of(api(user), project.namespace))["storage_bytes"] == {
        "limit": GB,
        "used": 2 * GB,
        "lifted_by": "starter-monthly",
    }
    with pytest.raises(TooLarge):
        check_room(locked_space(project.pk), size=1, replaced=None)
    assert space_use(project.pk).used_bytes == 2 * GB
