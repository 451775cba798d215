"""Every route, asked by every kind of caller gives the answer that the table says, and a denial changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.test import APIClient

from tests.permissions.rows import ROWS
from tests.permissions.world import BODIES, CALLERS, MULTIPART, QUERIES, World, snapshot

pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def patterns(found: list[Any], prefix: str = "", at: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (name, path, callback) of each route, names with their namespaces."""
    for one in found:
        path = at + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from patterns(one.url_patterns, prefix + (f"{one.namespace}:" if one.namespace else ""), path)
        elif isinstance(one, URLPattern):
            yield f"{prefix}{one.name}", path, one


def routes() -> dict[str, URLPattern]:
    """Return every route of the API by its name."""
    return {name: pattern for name, path, pattern in patterns(get_resolver().url_patterns) if path.startswith("v1/")}


def methods_of(pattern: URLPattern) -> tuple[str, ...]:
    """Return the methods that a view has a handler for."""
    view = getattr(pattern.callback, "cls", None)
    return tuple(method for method in METHODS if view is None or hasattr(view, method.lower()))


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """The world, undone at the end."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World()
        transaction.set_rollback(True)


def ask(world: World, client: APIClient, caller: str, route: str, method: str, pattern: URLPattern) -> HttpResponseBase:
    """Make the request of a row."""
    path = reverse(route, kwargs=world.arguments(set(pattern.pattern.converters), caller, route, method))
    if (route, method) in QUERIES:
        query = QUERIES[route, method](world)
        return cast("HttpResponseBase", client.generic(method, path, QUERY_STRING=urlencode(query)))
    if method in ("GET", "DELETE"):
        return cast("HttpResponseBase", getattr(client, method.lower())(path))
    body = BODIES[route, method](world) if (route, method) in BODIES else {}
    form = "multipart" if (route, method) in MULTIPART else "json"
    return cast("HttpResponseBase", getattr(client, method.lower())(path, body, format=form))


def answers(world: World, route: str, method: str) -> dict[str, int]:
    """Return the status of each caller's request; each one is undone, and a refused one must not have changed anything."""
    pattern = routes()[route]
    statuses: dict[str, int] = {}
    before = snapshot()
    for caller in CALLERS:
        for client in world.clients(caller, route):
            with transaction.atomic():
                answer = ask(world, client, caller, route, method, pattern)
                answer.getvalue()  # to the end, for streams
                if answer.status_code >= 400:
                    assert snapshot() == before, f"{method} {route} was refused to {caller}, and changed something"
                assert statuses.setdefault(caller, answer.status_code) == answer.status_code
                transaction.set_rollback(True)
    return statuses


def test_every_route_and_method_has_a_row():
    there = {(name, method) for name, pattern in routes().items() for method in methods_of(pattern)}
    assert {key for key in ROWS if key in there} == there, f"without a row: {sorted(there - set(ROWS))}"
    assert set(ROWS) == there, f"rows of routes that there are not: {sorted(set(ROWS) - there)}"


@pytest.mark.parametrize(("route", "method"), sorted(ROWS), ids=lambda part: part)
def test_each_caller_gets_the_answer_of_the_table(world, route, method):
    expected = dict(zip(CALLERS, map(int, ROWS[route, method].split()), strict=True))
    assert answers(world, route, method) == expected
