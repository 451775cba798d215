"""Namespaces through the API."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db


def test_everyone_has_a_personal_namespace_named_after_them(api, user):
    rows = api(user).get("/v1/namespaces/", {"name": user.username}).json()["results"]
    assert [(row["name"], row["path"], row["visibility"]) for row in rows] == [(user.username, user.username, "PRIVATE")]
    assert api(user).get(rows[0]["url"]).json() == rows[0]
    assert api(user).get(rows[0]["url"] + "namespaces/").json()["count"] == 0


def test_the_namespace_of_another_does_not_exist(api, user, stranger):
    assert api(stranger).get("/v1/namespaces/", {"name": user.username}).json()["count"] == 0
    for path in ("", "namespaces/", "projects/"):
        assert api(stranger).get(f"/v1/namespaces/{user.namespaces.get().pk}/{path}").status_code == 404
