"""Changes of algorithms: what comes back, what stays, what a token may, and what the audit log tells."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.accounts.scopes import Scope
from controlplane.accounts.services import create_token
from controlplane.audit.models import AuditEntry
from controlplane.hub import services
from controlplane.hub.models import Algorithm
from tests.hub.algorithms import (
    NAME,
    SENT,
    algorithms_of,
    as_form,
    make_algorithm,
    make_demo,
    make_package,
    png,
    upload,
    url,
)

pytestmark = pytest.mark.django_db
LONG = "# Hulls\n\n" + "Long. " * 12_000


def test_a_whole_object_may_come_back_with_an_icon(api, user, objects):
    make_algorithm(user, keywords=["hull"], icon=png())
    row = api(user).get("/v1/algos/", {"name": NAME}).json()["results"][0]
    form = as_form({**{k: v for k, v in row.items() if v is not None}, **SENT, "description": "New"}, icon=upload(png(9, 9), "i.png"))
    answer = api(user).put(row["url"], form, format="multipart")
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["description"], answer.json()["keywords"]) == ("New", [])
    assert b"".join(api(user).get(row["icon_url"]).streaming_content) == png(9, 9)
    assert len(objects()) == 1, "the old icon is gone"


def before_the_lock(monkeypatch, change):
    """Let something happen once, right before the next change gets its lock."""
    lock = services.lock_algorithm

    def locked(algorithm_id):
        monkeypatch.setattr(services, "lock_algorithm", lock)
        change()
        return lock(algorithm_id)

    monkeypatch.setattr(services, "lock_algorithm", locked)


def test_an_icon_that_was_sent_meanwhile_is_removed_too(api, user, objects, monkeypatch):
    algorithm = make_algorithm(user, icon=png())
    before_the_lock(monkeypatch, lambda: services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(9, 9)))
    services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(10, 10))
    assert b"".join(api(user).get(f"{url(algorithm)}icon/").streaming_content) == png(10, 10)
    assert len(objects()) == 1
    before_the_lock(monkeypatch, lambda: services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(11, 11)))
    services.delete_algorithm(actor=user, algorithm_id=algorithm.pk)
    assert objects() == []


def test_what_is_not_sent_stays(api, user):
    algorithm = make_algorithm(user, keywords=["hull"], short_description="Finds hulls")
    assert api(user).put(url(algorithm), {"visibility": "PUBLIC", "keywords": None}).status_code == 200
    algorithm.refresh_from_db()
    assert (algorithm.visibility, algorithm.keywords, algorithm.short_description) == ("PUBLIC", ["hull"], "Finds hulls")


@pytest.fixture
def deploying(api, user):
    """A client whose token may push and deploy, and nothing else."""
    client = api()
    clear = create_token(user=user, name="build", ttl=timedelta(hours=1), scopes=[Scope.DEPLOY])[1]
    client.credentials(HTTP_AUTHORIZATION=f"Token {clear}")
    return client


def test_who_sees_an_algorithm_is_not_changed_by_a_token_that_only_deploys(user, deploying):
    algorithm = make_algorithm(user)
    for body in ({"visibility": "PUBLIC"}, as_form({"visibility": "TEAM"}, icon=upload(png(), "i.png"))):
        answer = deploying.put(url(algorithm), body, format="multipart" if "icon" in body else "json")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
        assert "'admin'" in answer.json()["detail"]
    algorithm.refresh_from_db()
    assert (algorithm.visibility, algorithm.icon_key) == ("PRIVATE", "")
    row = deploying.get(url(algorithm)).json()
    assert deploying.put(url(algorithm), {**row, "short_description": "New"}).json()["short_description"] == "New"


def test_a_token_that_only_deploys_adds_algorithms_that_are_not_public(user, deploying):
    assert deploying.post(algorithms_of(user), {**SENT, "visibility": "PUBLIC"}).status_code == 403
    assert not Algorithm.objects.exists()
    assert deploying.post(algorithms_of(user), SENT).status_code == 201


def test_the_name_stays(api, user):
    algorithm = make_algorithm(user)
    answer = api(user).put(url(algorithm), {"name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_fixed")
    algorithm.refresh_from_db()
    assert algorithm.name == NAME


def test_lists_cut_long_descriptions_but_not_that_of_the_one_algorithm_of_a_name(api, user, stranger):
    algorithm = make_algorithm(user, description=LONG)
    make_algorithm(user, "short", description="x" * 2_000)
    client = api(user)
    for path in ("/v1/algos/", "/v1/algos/?page_size=2&fields=all", "/v1/algos/?q=hulls", algorithms_of(user)):
        told = {row["name"]: row["description"] for row in client.get(path).json()["results"]}
        assert told[NAME] == f"{LONG[:2_000]}…"
        assert told.get("short", "x" * 2_000) == "x" * 2_000
    for path in ("/v1/algos/", algorithms_of(user)):
        assert client.get(path, {"name": NAME}).json()["results"][0]["description"] == LONG
    assert client.get(url(algorithm)).json()["description"] == LONG
    make_algorithm(stranger, visibility="PUBLIC", description=LONG)
    assert {len(row["description"]) for row in client.get("/v1/algos/", {"name": NAME}).json()["results"]} == {2_001}


def test_a_page_of_long_descriptions_does_not_fetch_them(api, user):
    make_algorithm(user, description=LONG)
    client = api(user)
    with CaptureQueriesContext(connection) as queries:
        client.get("/v1/algos/")
    column = '"hub_algorithm"."description"'
    rows = [query["sql"] for query in queries if column in query["sql"]]
    assert rows
    assert all(column not in sql.replace(f"LEFT({column}", "") for sql in rows)


@pytest.mark.parametrize("as_a_form", [False, True])
def test_a_row_of_a_list_that_comes_back_does_not_cut_the_description(api, user, as_a_form):
    algorithm = make_algorithm(user, description=LONG)
    row = {**api(user).get("/v1/algos/").json()["results"][0], "short_description": "New"}
    body = as_form({name: value for name, value in row.items() if value is not None}, icon=upload(png(), "i.png")) if as_a_form else row
    answer = api(user).put(url(algorithm), body, format="multipart" if as_a_form else "json")
    assert (answer.json()["short_description"], answer.json()["description"]) == ("New", LONG)


def test_lines_of_the_audit_log_name_changed_fields_without_their_texts(api, user):
    algorithm = make_algorithm(user, description=LONG)
    for body in ({"description": "Quays", "paper": {"title": "Cranes"}}, {"description": "Quays"}, {}):
        assert api(user).put(url(algorithm), body).status_code == 200
    [line] = AuditEntry.objects.filter(chain=user.pk, action="algorithm.edit")
    assert line.details == {"changed": ["description", "paper"]}


def test_every_change_leaves_a_line_in_the_audit_log(api, user):
    row = api(user).post(algorithms_of(user), SENT).json()
    algorithm = Algorithm.objects.get()
    api(user).put(row["url"], {"visibility": "PUBLIC"})
    make_package(user, algorithm)
    make_demo(user, algorithm)
    api(user).delete(row["url"])
    lines = AuditEntry.objects.filter(chain=user.pk, kind="algorithm").order_by("sequence")
    assert [line.action.partition(".")[2] for line in lines] == ["create", "edit", "package", "demo", "delete"]
    assert {line.name for line in lines} == {f"{user.username}/{NAME}"}
    assert lines[1].details == {"changed": ["visibility"], "visibility": ["PRIVATE", "PUBLIC"]}
