"""Signing up."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from controlplane.accounts.models import User
from controlplane.audit.models import AuditEntry
from controlplane.common.ids import uuid7
from controlplane.projects.models import Project, Workflow, WorkflowVersion
from controlplane.workspaces.models import Namespace
from tests.factories import PASSWORD, make_organization, make_user

pytestmark = pytest.mark.django_db
FORM = {"username": "ines", "email": "ines@example.com", "password": PASSWORD}


def sign_up(api, **changes):
    return api().post("/v1/accounts/signup/", {**FORM, **changes})


def test_a_new_user_gets_a_workspace_and_example_workflows(api):
    answer = sign_up(api)
    assert answer.status_code == 201, answer.json()
    assert answer.json()["username"] == "ines"
    assert answer.json()["url"].startswith("http://testserver/v1/users/")
    project = Project.objects.get()
    assert project.path == "ines/Getting_started"
    assert {workflow.name for workflow in project.workflows.all()} == {"blur", "edges", "histogram", "detect_objects"}
    assert all(workflow.current and workflow.current.tag == "v1" for workflow in project.workflows.all())


def test_sign_ups_from_one_address_have_a_limit_that_the_page_shares(api, browser, monkeypatch):
    monkeypatch.setattr("controlplane.accounts.api.views.sign_up", lambda **_: User(username="x", pk=uuid7()))
    here, there = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "198.51.100.7"}
    assert [api(**here).post("/v1/accounts/signup/", FORM).status_code for _ in range(19)] == [201] * 19
    assert api(**here).post("/v1/accounts/signup/", {**FORM, "email": "nonsense"}).status_code == 400, "what is no sign-up does not count"
    assert browser.post("/accounts/sign-up/", {}, **here).status_code == 200
    refused = api(**here).post("/v1/accounts/signup/", FORM)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert "too many sign-ups" in refused.json()["detail"]
    assert 60 <= int(refused["Retry-After"]) <= 61
    assert browser.post("/accounts/sign-up/", {}, **here).status_code == 429
    assert api(**there).post("/v1/accounts/signup/", FORM).status_code == 201
    assert not User.objects.exists()


def test_the_password_is_hashed_with_argon2(api):
    sign_up(api)
    assert User.objects.get().password.startswith("argon2")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"username": "a b"}, 400, "username"),
        ({"username": "../etc"}, 400, "username"),
        ({"username": ""}, 400, "invalid"),
        ({"username": "Me"}, 409, "username_taken"),
        ({"username": "x" * 61}, 400, "invalid"),
        ({"username": "nul\x00"}, 400, "invalid"),
        ({"email": "nonsense"}, 400, "invalid"),
        ({"email": '"a\x01b"@example.com'}, 400, "email"),
        ({"email": '"a\r\n\tb"@example.com'}, 400, "invalid"),
        ({"email": "a@" + "x" * 60 + "." + "\u0130" * 60 + "." + ("y" * 40 + ".") * 3 + "com"}, 400, "email"),
        ({"email": "\u0130nes@example.com"}, 400, "email"),
        ({"email": "ines@exa\u202emple.com"}, 400, "email"),
        ({"password": "12345678"}, 400, "password"),
        ({"password": "short"}, 400, "password"),
        ({"password": "ines@example.com"}, 400, "password"),
    ],
)
def test_a_bad_form_is_refused_and_nothing_is_made(api, change, status, code):
    answer = sign_up(api, **change)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["fields"]
    assert not User.objects.exists()
    assert not Namespace.objects.exists()


@pytest.mark.parametrize(
    "change", [{"email": "other@example.com"}, {"username": "INES", "email": "other@example.com"}, {"username": "other"}]
)
def test_a_name_or_address_is_taken_whatever_its_case(api, change):
    sign_up(api)
    answer = sign_up(api, **{"email": "INES@example.com", **change})
    assert answer.status_code == 409
    assert User.objects.count() == 1


def test_the_name_of_an_organization_is_taken(api, user):
    make_organization(user, "Harbour")
    answer = sign_up(api, username="hARBOUR")
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")
    assert answer.json()["detail"] == "The name 'hARBOUR' is taken. Choose another one."
    assert answer.json()["fields"] == {"username": ["taken"]}
    assert User.objects.count() == 1


def test_a_sign_up_that_fails_half_way_leaves_nothing(api, monkeypatch):
    def fail(**_):
        raise RuntimeError("no disk")

    monkeypatch.setattr("controlplane.projects.receivers.create_getting_started", fail)
    with pytest.raises(RuntimeError):
        make_user()
    assert not User.objects.exists()
    assert not Workflow.objects.exists()
    assert not WorkflowVersion.objects.exists()


def test_a_command_makes_and_unmakes_an_operator(user):
    call_command("operator", user.username.upper(), stdout=StringIO())
    user.refresh_from_db()
    assert user.is_staff
    call_command("operator", user.username, "--revoke", stdout=StringIO())
    user.refresh_from_db()
    assert not user.is_staff
    assert [line.details for line in AuditEntry.objects.filter(action="account.operator").order_by("sequence")] == [
        {"is": True},
        {"is": False},
    ]
    with pytest.raises(CommandError, match="They sign up first"):
        call_command("operator", "nobody-of-that-name")
