"""The route table: a copy that never goes back in time."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import redis

from controlplane.accounts.models import User
from controlplane.common.ids import new_slug
from controlplane.common.valkey import valkey
from deployments import routing
from deployments.models import Deployment
from deployments.reconcile.loop import reconcile
from deployments.routing import CHANNEL, publish_route, route_key
from deployments.selectors import RouteReason, route_for_slug
from deployments.services import delete_deployment
from tests.deployments.builders import deploy
from tests.deployments.conftest import Clock
from tests.fakes.provider import FakeProvider

Settle = Callable[..., Deployment]


def told(listener: redis.client.PubSub) -> list[str]:
    found = []
    while (message := listener.get_message(ignore_subscribe_messages=True, timeout=0.2)) is not None:
        found.append(message["data"].decode())
    return found


def listening() -> redis.client.PubSub:
    listener: redis.client.PubSub = valkey().pubsub()
    listener.subscribe(CHANNEL)
    listener.get_message(timeout=5)
    return listener


def test_the_selector_says_what_the_table_says(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))

    route = route_for_slug(deployment.slug)

    assert route is not None
    assert deployment.workflow is not None
    stored = json.loads(valkey().get(route_key(deployment.slug)))  # type: ignore[arg-type]
    assert stored["replicas"][0]["address"] == route.replicas[0].address
    assert (stored["deployment"], stored["project"]) == (str(deployment.pk), str(deployment.workflow.project_id))
    assert (route.namespace, route.reason, stored["reason"]) == (str(deployment.namespace_id), None, None)
    assert stored["updated"] == route.updated


def test_an_unknown_endpoint_has_no_route(owner: User) -> None:
    assert route_for_slug(new_slug()) is None


def test_a_route_of_what_does_not_serve_tells_why(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    cloud.fail_with = "no luck"

    route = route_for_slug(settle(deploy(owner)).slug)

    assert route is not None
    assert (route.status, route.replicas, route.reason) == ("ERROR", (), RouteReason("START_FAILED", "no luck"))


def test_gateways_hear_of_changes_and_of_nothing_else(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    listener = listening()

    publish_route(deployment.pk)
    assert deployment.slug not in told(listener)
    delete_deployment(actor=owner, deployment_id=deployment.pk)
    settle(deployment)

    # Channels are the same in all of Valkey's databases: other tests at the same time are heard too.
    assert told(listener).count(deployment.slug) == 1
    assert valkey().get(route_key(deployment.slug)) is None
    listener.close()


def test_gateways_are_told_of_each_step_of_what_never_served_and_read_it_themselves(
    owner: User, cloud: FakeProvider, moving_clock: Clock
) -> None:
    cloud.looks_until_ready = 10
    listener = listening()
    deployment = deploy(owner)
    valkey().set(route_key(deployment.slug), json.dumps({"status": "QUEUED", "updated": 1}))

    reconcile(deployment.pk)
    reconcile(deployment.pk)

    assert told(listener).count(deployment.slug) == 2
    assert valkey().get(route_key(deployment.slug)) is None
    found = route_for_slug(deployment.slug)
    assert found is not None
    assert found.status == "SCALING"
    listener.close()


def test_an_older_route_never_replaces_a_newer_one(owner: User, cloud: FakeProvider, settle: Settle) -> None:
    deployment = settle(deploy(owner))
    newer = json.dumps({"updated": 9_999_999_999_999})
    valkey().set(route_key(deployment.slug), newer)

    publish_route(deployment.pk)

    assert valkey().get(route_key(deployment.slug)) == newer.encode()


def test_a_valkey_that_does_not_answer_holds_up_nothing(
    owner: User, cloud: FakeProvider, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def eval(self, *_: object) -> None:
            raise redis.ConnectionError

        def pipeline(self, **_: object) -> None:
            raise redis.ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(routing, "valkey", Away)
        deployment = settle(deploy(owner))
        assert deployment.status == "RUNNING"
    assert valkey().get(route_key(deployment.slug)) is None

    settle(deployment)

    assert valkey().get(route_key(deployment.slug)) is not None
