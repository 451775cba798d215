"""Spend caps through the API: owners set them, managers see them, nobody else knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from billing.models import BilledDeployment, SpendCap, Wallet
from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.common.ids import uuid7
from controlplane.workspaces.models import Organization
from controlplane.workspaces.roles import Role
from tests.billing.spending import CREDIT, make_billed, spend_credits
from tests.factories import make_member, make_organization

Api = Callable[..., APIClient]
MONTHLY = {"period": "MONTH", "amount": 100 * CREDIT}


@pytest.fixture
def deployment(wallet: Wallet) -> BilledDeployment:
    return make_billed(wallet, "quay/belts/count")


@pytest.fixture
def caps(payer: User) -> str:
    """Return the address of the caps."""
    return f"/v1/namespaces/{payer.namespaces.get(parent=None).pk}/billing/caps/"


def test_an_owner_sets_sees_changes_and_removes_a_cap(api: Api, payer: User, deployment: BilledDeployment, caps: str) -> None:
    client = api(payer)
    made = client.post(caps, {**MONTHLY, "deployment": str(deployment.pk)})
    assert made.status_code == 201
    spend_credits(deployment, 62)

    found = client.get(made.json()["url"]).json()

    assert found == {
        **made.json(),
        "deployment": str(deployment.pk),
        "label": "quay/belts/count",
        "period": "MONTH",
        "amount": 100 * CREDIT,
        "used": 62 * CREDIT,
        "in_credits": {"amount": "100", "used": "62"},
        "share": 62,
        "reached_at": None,
    }
    assert client.get(caps).json()["results"] == [found]
    changed = client.put(found["url"], {**found, "amount": 62 * CREDIT}).json()
    assert (changed["share"], changed["reached_at"] is None) == (100, False)
    assert client.delete(found["url"]).status_code == 204
    assert client.get(caps).json()["count"] == 0


def test_the_share_never_says_more_than_there_is(api: Api, payer: User, deployment: BilledDeployment, caps: str) -> None:
    spend_credits(deployment, 99)

    made = api(payer).post(caps, {"period": "TOTAL", "amount": 99 * CREDIT + 1, "deployment": None}).json()

    assert (made["share"], made["reached_at"]) == (99, None)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"period": "WEEK"}, "period"),
        ({"amount": 0}, "amount"),
        ({"amount": "100"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": 10**16 + 1}, "amount"),
        ({"deployment": 5}, "deployment"),
        ({"deployment": str(uuid7())}, "deployment"),
    ],
)
def test_a_cap_that_cannot_be_is_refused(api: Api, payer: User, caps: str, given: dict[str, Any], field: str) -> None:
    answer = api(payer).post(caps, {**MONTHLY, **given})

    assert (answer.status_code, list(answer.json()["fields"])) == (400, [field])
    assert not SpendCap.objects.exists()


def test_a_deployment_of_somebody_else_is_unknown(api: Api, payer: User, stranger: User, deployment: BilledDeployment) -> None:
    address = f"/v1/namespaces/{stranger.namespaces.get(parent=None).pk}/billing/caps/"

    answer = api(stranger).post(address, {**MONTHLY, "deployment": str(deployment.pk)})

    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_deployment")
    assert not SpendCap.objects.exists()


def test_a_second_cap_of_the_same_kind_is_refused(api: Api, payer: User, caps: str) -> None:
    assert api(payer).post(caps, MONTHLY).status_code == 201

    answer = api(payer).post(caps, {**MONTHLY, "amount": 5})

    assert (answer.status_code, answer.json()["code"]) == (409, "cap_exists")
    assert SpendCap.objects.get().amount == 100 * CREDIT


def test_the_same_request_twice_sets_one_cap(api: Api, payer: User, caps: str) -> None:
    client = api(payer)

    first, again = (client.post(caps, MONTHLY, headers={"Idempotency-Key": "cap-1"}) for _ in range(2))

    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again["Idempotency-Replayed"] == "true"


@pytest.fixture
def organization(payer: User) -> Organization:
    return make_organization(payer)


@pytest.fixture
def shared(api: Api, payer: User, organization: Organization) -> tuple[str, str]:
    """Return the addresses of an organization's caps and of the one that there is."""
    address = f"/v1/namespaces/{organization.namespaces.get().pk}/billing/caps/"
    return address, api(payer).post(address, MONTHLY).json()["url"]


@pytest.mark.parametrize(("role", "reads", "writes"), [(None, 404, 404), (Role.MEMBER, 403, 403), (Role.MANAGER, 200, 403)])
def test_who_is_no_owner_changes_nothing(
    api: Api, stranger: User, organization: Organization, shared: tuple[str, str], role: Role | None, reads: int, writes: int
) -> None:
    caps, cap = shared
    client, lines = api(make_member(organization, role) if role else stranger), AuditEntry.objects.count()

    assert [client.get(address).status_code for address in shared] == [reads, reads]
    tries = [client.post(caps, {**MONTHLY, "period": "TOTAL"}), client.put(cap, {"amount": 1}), client.delete(cap)]

    assert [one.status_code for one in tries] == [writes] * 3
    assert SpendCap.objects.get().amount == 100 * CREDIT
    assert AuditEntry.objects.filter(kind="cap").count() == 1
    assert AuditEntry.objects.count() <= lines + (1 if role else 0)  # the new member


def test_a_cap_of_another_workspace_is_not_found_under_ones_own(
    api: Api, payer: User, stranger: User, shared: tuple[str, str], organization: Organization
) -> None:
    cap = UUID(shared[1].rstrip("/").rsplit("/", 1)[1])
    own = f"/v1/namespaces/{stranger.namespaces.get(parent=None).pk}/billing/caps/{cap}/"

    client = api(stranger)
    answers = [client.get(own), client.put(own, {"amount": 1}), client.delete(own)]

    assert [one.status_code for one in answers] == [404] * 3
    assert SpendCap.objects.get().amount == 100 * CREDIT
