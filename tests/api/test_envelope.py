"""Every refusal has one envelope and an id to ask with."""

from __future__ import annotations

import pytest

from tests.factories import make_project

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/v1/nothing/", 404, "not_found"),
        ("get", "/v1/projects", 404, "not_found"),
        ("get", "/v1/projects/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31/", 404, "not_found"),
        ("patch", "/v1/users/me/", 405, "method_not_allowed"),
        ("post", "/v1/projects/", 405, "method_not_allowed"),
    ],
)
def test_a_refusal_says_what_and_carries_the_request_id(api, user, method, path, status, code):
    answer = getattr(api(user), method)(path, HTTP_X_REQUEST_ID="abc-123")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]
    assert answer.json()["request_id"] == answer["X-Request-Id"] == "abc-123"


def test_a_request_id_with_nonsense_is_replaced(api, user):
    assert api(user).get("/v1/users/me/", HTTP_X_REQUEST_ID="a b\n<script>")["X-Request-Id"] != "a b\n<script>"


def test_malformed_json_is_told(api, user):
    answer = api(user).generic("PUT", f"/v1/projects/{make_project(user).pk}/", "{", content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [101, 200_000])
def test_json_that_is_nested_too_deeply_is_told(api, opening, depth, db):
    for path in ("/v1/accounts/signup/", "/v1/users/me/tokens/"):
        answer = api(raise_request_exception=False).generic("POST", path, opening * depth, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) in ((400, "malformed"), (401, "not_authenticated"))


@pytest.mark.parametrize("body", ["[" * 101 + "]" * 101, '{"a":' * 200_000 + "1" + "}" * 200_000])
def test_whole_json_that_is_nested_too_deeply_is_told(api, db, body):
    answer = api(raise_request_exception=False).generic("POST", "/v1/accounts/signup/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert "nested" in answer.json()["detail"]


def test_json_may_be_nested_as_deeply_as_anybody_needs(api, db):
    answer = api().generic("POST", "/v1/accounts/signup/", "[" * 100 + "]" * 100, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_another_media_type_is_told(api, user):
    answer = api(user).generic("PUT", f"/v1/projects/{make_project(user).pk}/", "x", content_type="text/csv")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_fault_of_ours_tells_no_insides(api, user, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("secret insides")

    monkeypatch.setattr("controlplane.projects.api.views.visible_project", fail)
    client = api(user, raise_request_exception=False)
    answer = client.get("/v1/projects/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31/")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.content.decode()


def test_the_front_door_and_the_health_answer(api, db):
    assert "Slipway is up" in api().get("/").content.decode()
    assert api().get("/healthz").json() == {"status": "ok"}
