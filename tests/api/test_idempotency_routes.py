"""Every route that changes something takes a key: asked twice as the owner of everything, it works once, and holds no transaction on a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import redis
from botocore.client import BaseClient
from django.db import connection, transaction
from django.urls import reverse
from rest_framework.test import APIClient

from controlplane.api.idempotency.asking import METHODS
from controlplane.api.idempotency.sight import LOOKS
from controlplane.api.models import IdempotencyKey
from controlplane.api.views import WorkspaceView
from controlplane.common.clock import now
from tests.api.idempotency import KEY
from tests.permissions.rows import ROWS
from tests.permissions.test_every_route import methods_of, routes
from tests.permissions.world import BODIES, MULTIPART, QUERIES, World, snapshot

pytestmark = pytest.mark.django_db
MUTATING = sorted(row for row in ROWS if row[1] in METHODS)
KEPT = {IdempotencyKey._meta.db_table}
# Arguments that need no second look: people are found by everybody, the public HUB is public, and a storage token is for one project, whose
# keys are its own.
NOT_LOOKED_AT = {"user_id", "hub_id", "object_id", "upload_id", "path"}


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """The world, undone at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World()
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def one_moment(monkeypatch):
    """Have bodies that name a moment name the same one."""
    moment = now()
    monkeypatch.setattr("tests.permissions.world.now", lambda: moment)


@pytest.fixture
def calls(monkeypatch):
    """Return how deep in transactions each call to the object store and to Valkey was."""
    depths: list[int] = []
    calls = ((BaseClient, "_make_api_call"), (redis.Redis, "execute_command"), (redis.client.Pipeline, "execute"))
    for client, name in calls:
        monkeypatch.setattr(client, name, noting(depths, getattr(client, name)))
    return depths


def noting(depths, method):
    """Return a method that notes how deep in transactions it is called."""

    def call(self, *args, **options):
        depths.append(len(connection.atomic_blocks))
        return method(self, *args, **options)

    return call


def send(world: World, client: APIClient, path: str, route: str, method: str) -> Any:
    """Make the request of a row."""
    if method == "DELETE":
        query = QUERIES[route, method](world) if (route, method) in QUERIES else {}
        return client.generic(method, path, QUERY_STRING=urlencode(query))
    body = BODIES[route, method](world) if (route, method) in BODIES else {}
    return getattr(client, method.lower())(path, body, format="multipart" if (route, method) in MULTIPART else "json")


@pytest.mark.parametrize(("route", "method"), MUTATING, ids=lambda part: part)
def test_a_route_that_changes_something_does_it_once(world, calls, route, method):
    arguments = world.arguments(set(routes()[route].pattern.converters), "owner", route, method)
    world.tokens["another of the owner"] = world.token(world.owner)  # one of them revokes the first
    path, client = reverse(route, kwargs=arguments), world.clients("another of the owner", route)[0]
    client.defaults["HTTP_IDEMPOTENCY_KEY"] = KEY
    with transaction.atomic():
        outside = len(connection.atomic_blocks)
        first = send(world, client, path, route, method)
        assert not [depth for depth in calls if depth > outside], (
            "a call to another server in a transaction: `replies_in_transaction = False`"
        )
        after = {table: digest for table, digest in snapshot().items() if table not in KEPT}
        if first.status_code < 300:
            again = send(world, client, path, route, method)
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again["Idempotency-Replayed"] == "true"
            assert {table: digest for table, digest in snapshot().items() if table not in KEPT} == after
        else:
            assert not IdempotencyKey.objects.exists()
        transaction.set_rollback(True)


def test_every_view_that_changes_something_has_the_guard():
    without = [name for name, pattern in routes().items() if METHODS & set(methods_of(pattern)) and not is_guarded(pattern)]
    assert without == []


def is_guarded(pattern):
    """Tell whether a view lets the guard in; all of ours that only read may be anything."""
    view = getattr(pattern.callback, "cls", None)
    return view is None or issubclass(view, WorkspaceView)


def test_every_argument_of_such_a_route_is_looked_at_again_before_a_replay():
    named = {name for pattern in routes().values() if METHODS & set(methods_of(pattern)) for name in pattern.pattern.converters}
    unknown = named - set(LOOKS) - NOT_LOOKED_AT
    assert unknown == set(), "register_permission_argument() in the room's ready()"


def test_the_description_tells_of_the_header_where_it_counts_and_nowhere_else(api, db):
    document = api().get("/v1/schema/?format=json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            headers = [one["name"] for one in operation.get("parameters", []) if one["in"] == "header"]
            expected = method.upper() in METHODS
            assert ("Idempotency-Key" in headers, "422" in operation["responses"]) == (expected, expected), f"{method} {path}"
