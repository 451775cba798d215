"""Who may do what in a project's storage, at the running service: readers read, others see nothing, and a refusal leaves everything as it was."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from controlplane.common.clock import now
from storage.api.urls import urlpatterns
from tests.contracts.person import Person
from tests.contracts.storage_client import ClientRaised, client_session
from tests.contracts.storage_facts import ask, form, storage_token, traces

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
PATH = "belts/belt 4.txt"
MULTIPART = {"method": "multipart", "size": 20_000_000}


@dataclass
class Goods:
    """A project with one object and one direct upload under way; `link` works without a token."""

    url: str
    token: str
    stored: dict[str, Any]
    upload: str
    link: str

    def arguments(self, route: str) -> dict[str, str]:
        """Return what the address of a route names."""
        if route in ("storage-content", "storage-link"):
            return {"object_id": self.stored["uid"]}
        if route.startswith("storage-upload-") or route == "storage-upload":
            return {"upload_id": self.upload}
        return {"path": PATH} if route == "storage-objects-at" else {}


@dataclass(frozen=True)
class Row:
    """A request of a route and what it gives: to another project's token (404, EMPTY, or OWN: it concerns the other project alone) and to a reader."""

    foreign: int | str
    reader: int
    body: Any = None
    query: str = ""


EMPTY, OWN = "empty", "own"
SOON = "in an hour"
COPY, PARTS = "copy", {"numbers": [1]}
ROWS = {
    ("storage-objects", "GET"): Row(EMPTY, 200),
    ("storage-objects", "POST"): Row(404, 403, COPY),
    ("storage-objects", "DELETE"): Row(404, 403, query="?uid={uid}"),
    ("storage-objects-at", "GET"): Row(EMPTY, 200, query="?exact=True"),
    ("storage-objects-at", "POST"): Row(404, 403, COPY),
    ("storage-objects-at", "PUT"): Row(404, 403, COPY),
    ("storage-objects-at", "DELETE"): Row(404, 403),
    ("storage-content", "GET"): Row(404, 200),
    ("storage-content", "HEAD"): Row(404, 200),
    ("storage-link", "PUT"): Row(404, 200, {"expire_at": SOON}),
    ("storage-uploads", "GET"): Row(EMPTY, 200),
    ("storage-uploads", "POST"): Row(OWN, 403, MULTIPART | {"path": PATH}),
    ("storage-upload", "GET"): Row(404, 200),
    ("storage-upload", "DELETE"): Row(404, 403),
    ("storage-upload-parts", "POST"): Row(404, 403, PARTS),
    ("storage-upload-complete", "POST"): Row(404, 403, {}),
    ("storage-infos", "GET"): Row(OWN, 200),
}
ROUTES = pytest.mark.parametrize(("route", "method"), ROWS, ids=[f"{method} {route}" for route, method in ROWS])


@pytest.fixture(scope="module")
def organization(person):
    """An organization, whose members come and go."""
    name = f"quay-{secrets.token_hex(4)}"
    person.must("organization", "add", name)
    return name


@pytest.fixture(scope="module")
def goods(person, organization):
    """A project of the organization."""
    person.must("project", "add", organization, "goods")
    url = person.one("/v1/projects/", name="goods", namespace=organization)["url"]
    token = storage_token(person, url)
    with client_session(person, is_async=False, project=url) as storage:
        stored = storage.put("some words", PATH)
        link = storage.get_presigned_download_url(stored)
    status, upload = ask("POST", person.url + "/v1/uploads/", f"Bearer {token}", json.dumps(MULTIPART).encode(), "application/json")
    assert status == 201, upload
    return Goods(url, token, stored, upload["uid"], link)


@pytest.fixture(scope="module", params=["a stranger", "the same person"])
def foreign(request, stack, person, tmp_path_factory):
    """A token for another project: of somebody else, or of somebody who could have one for this project."""
    who = person if request.param == "the same person" else Person(stack.url, tmp_path_factory.mktemp("stranger"), "sten")
    who.must("project", "add", who.username, "elsewhere")
    return storage_token(who, who.one("/v1/projects/", name="elsewhere", namespace=who.username)["url"])


def send(stack, goods, route, method, authorization):
    """Make the request of a row with this authorization."""
    row = ROWS[route, method]
    url = stack.url + reverse(route, kwargs=goods.arguments(route)) + row.query.format(uid=goods.stored["uid"])
    if row.body is None:
        return ask(method, url, authorization)
    if row.body == COPY:
        return ask(method, url, authorization, *form(copy_from=goods.stored["uid"]))
    text = json.dumps(row.body).replace(SOON, (now() + timedelta(hours=1)).isoformat())
    return ask(method, url, authorization, text.encode(), "application/json")


def test_every_route_and_method_has_a_row():
    views: dict[str | None, Any] = {pattern.name: pattern.callback for pattern in urlpatterns}
    assert set(ROWS) == {(name, method) for name, view in views.items() for method in view.cls.permissions}


@ROUTES
def test_another_projects_token_sees_and_changes_nothing(stack, goods, foreign, route, method):
    before = traces(stack, goods.url)
    status, answer = send(stack, goods, route, method, f"Bearer {foreign}")
    expected = ROWS[route, method].foreign
    if expected == EMPTY:
        assert (status, answer["count"], answer["results"]) == (200, 0, [])
    elif expected == OWN:
        assert status in (200, 201)
        assert not {goods.stored["uid"], goods.upload} & set(map(str, answer.values()))
        assert not answer.get("count")
    else:
        assert status == expected, answer
    assert traces(stack, goods.url) == before


@ROUTES
def test_a_token_that_only_reads_is_refused_what_writes(stack, person, goods, route, method):
    before = traces(stack, goods.url)
    token = storage_token(person, goods.url, "read")
    status, answer = send(stack, goods, route, method, f"Bearer {token}")
    assert status == ROWS[route, method].reader, answer
    if status == 403:
        assert answer["code"] == "read_only"
        assert "storage=true" in answer["detail"]
    assert traces(stack, goods.url) == before


@ROUTES
def test_without_a_token_of_the_storage_every_route_is_closed(stack, person, goods, route, method):
    before = traces(stack, goods.url)
    without = person.get(f"{goods.url}jwt/")["id_token"]
    for authorization, expected in (
        ("", 401),
        ("Bearer", 401),
        ("Bearer nonsense", 401),
        (f"Token {person.token}", 401),
        (f"Bearer {goods.token[:-4]}AAAA", 401),
        (f"Bearer {without}", 403),
    ):
        status, _ = send(stack, goods, route, method, authorization)
        assert status == expected, authorization
    assert traces(stack, goods.url) == before


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
def test_the_client_with_a_reading_token_reads_and_is_refused_writing(stack, person, goods, is_async):
    before = traces(stack, goods.url)
    with client_session(person, is_async=is_async, project=goods.url, bearer=storage_token(person, goods.url, "read")) as storage:
        assert storage.get(PATH) == goods.stored
        assert storage.content(goods.stored) == b"some words"
        assert storage.get_presigned_download_url(goods.stored).startswith("http")
        for call, *arguments in (("put", b"x" * 3_000_000, "new"), ("copy", goods.stored), ("delete", PATH)):
            with pytest.raises(ClientRaised) as raised:
                getattr(storage, call)(*arguments)
            assert raised.value.status == 403
    assert traces(stack, goods.url) == before


@ROUTES
def test_a_removed_member_is_refused_at_once(stack, person, organization, goods, colleague, route, method):
    status, answer = send(stack, goods, route, method, f"Bearer {colleague}")
    assert (status, method == "HEAD" or answer["code"]) == (403, method == "HEAD" or "access_revoked")


@pytest.fixture(scope="module")
def colleague(stack, person, organization, goods, tmp_path_factory):
    """A token that worked until its owner was removed from the organization."""
    colleague = Person(stack.url, tmp_path_factory.mktemp("colleague"), "noor")
    person.must("organization", "member", "add", organization, colleague.username, "MEMBER")
    token = storage_token(colleague, goods.url)
    assert send(stack, goods, "storage-content", "GET", f"Bearer {token}") == (200, b"some words")
    person.must("organization", "member", "delete", organization, colleague.username, answers="y\n")
    return token


def test_a_link_that_was_given_away_still_works(goods):
    assert ask("GET", goods.link) == (200, b"some words")
