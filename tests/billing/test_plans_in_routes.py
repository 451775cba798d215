"""The limit of runs a minute in the routes that gateways read, and that it follows the plan."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.models import FundingChange
from billing.plan_edits import edit_plan
from billing.plans import plan_by_code
from billing.subscriptions import begin_subscription, end_subscription, live_subscription
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common.valkey import valkey
from deployments.funding import follow_funding
from deployments.models import Deployment
from deployments.routing import publish_route, repair_routes, route_key
from deployments.selectors import route_for_slug
from deployments.services import request_deployment
from gateway.routes import decode_route
from tests.factories import make_project, make_user, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "SERVERLESS", "size": "S"}


@pytest.fixture(autouse=True)
def quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """People get the free plan; hints are kept out of the broker."""
    settings.PERSONAL_PLAN = "free"
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda *_, **__: None)
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)


@pytest.fixture
def deployment(transactional_db: None) -> Deployment:
    """A deployment of a person on the free plan, with its route in the table."""
    user = make_user()
    made = request_deployment(actor=user, workflow_id=make_workflow(make_project(user)).pk, **OFFER)
    publish_route(made.pk)
    return made


def owner_of(deployment: Deployment) -> User:
    return User.objects.get(pk=deployment.workspace_id)


def in_table(deployment: Deployment) -> dict[str, Any]:
    """Return the route as gateways find it."""
    text: Any = valkey().get(route_key(deployment.slug))
    route: dict[str, Any] = json.loads(text)
    return route


def test_a_route_has_the_workspace_and_the_limit_of_its_plan(deployment: Deployment) -> None:
    route = in_table(deployment)
    assert (route["workspace"], route["calls_a_minute"], route["plan"]) == (str(deployment.workspace_id), 60, "Free")
    text: Any = valkey().get(route_key(deployment.slug))
    decoded = decode_route(text)
    assert decoded is not None
    assert (decoded.workspace, decoded.calls_a_minute, decoded.plan) == (str(deployment.workspace_id), 60, "Free")
    read = route_for_slug(deployment.slug)
    assert read is not None
    assert read.calls_a_minute == 60


def test_another_plan_is_in_the_routes_when_its_word_is_followed(deployment: Deployment) -> None:
    wallet = wallet_of(owner_of(deployment).namespaces.get(parent=None))

    begin_subscription(wallet=wallet, plan=plan_by_code("starter-monthly"))
    assert follow_funding() == 1

    assert (in_table(deployment)["calls_a_minute"], in_table(deployment)["plan"]) == (600, "Starter")
    assert not FundingChange.objects.exists()
    assert repair_routes() == 0


def test_a_plan_without_a_limit_leaves_none_in_the_routes(deployment: Deployment) -> None:
    wallet = wallet_of(owner_of(deployment).namespaces.get(parent=None))

    begin_subscription(wallet=wallet, plan=plan_by_code("custom"))
    follow_funding()

    assert in_table(deployment)["calls_a_minute"] is None


def test_the_end_of_a_plan_leaves_the_limit_of_who_has_none(deployment: Deployment) -> None:
    wallet = wallet_of(owner_of(deployment).namespaces.get(parent=None))
    begin_subscription(wallet=wallet, plan=plan_by_code("pro-monthly"))
    follow_funding()
    assert in_table(deployment)["calls_a_minute"] == 30_000
    present = live_subscription(wallet.pk)
    assert present is not None

    end_subscription(present)
    follow_funding()

    assert (in_table(deployment)["calls_a_minute"], in_table(deployment)["plan"]) == (60, "")


def test_an_edited_plan_is_in_the_routes_of_its_workspaces(deployment: Deployment) -> None:
    try:
        edit_plan(code="free", reason="test", calls_a_minute=7)
        assert follow_funding() == 1
        assert in_table(deployment)["calls_a_minute"] == 7
    finally:
        # Plans stay between tests.
        edit_plan(code="free", reason="test", calls_a_minute=60)
