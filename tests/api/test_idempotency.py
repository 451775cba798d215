"""A request that is sent twice with one key does its work once, and its reply comes again to whoever may still see it."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.db import connection

from controlplane.accounts.models import ApiToken
from controlplane.accounts.scopes import Scope
from controlplane.api.idempotency.claims import sweep_keys
from controlplane.api.models import IdempotencyKey
from controlplane.api.tasks import sweep_idempotency_keys_task
from controlplane.projects.models import Project
from controlplane.workspaces.models import Membership
from controlplane.workspaces.roles import Role
from deployments.models import Deployment
from tests.api.idempotency import KEY, post, projects_url, refusal
from tests.factories import (
    PASSWORD,
    make_member,
    make_organization,
    make_project,
    make_shared_project,
    make_token,
    make_user,
    make_workflow,
)

pytestmark = pytest.mark.django_db
OFFER = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "S"}


def test_the_same_request_with_the_same_key_does_its_work_once_and_gets_the_same_reply(api, user):
    path = f"/v1/workflows/{make_workflow(make_project(user)).pk}/deployments/"
    client = api(user)
    first, second = (post(client, path, OFFER) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second["Content-Type"] == first["Content-Type"]
    assert (first.get("Idempotency-Replayed"), second["Idempotency-Replayed"]) == (None, "true")
    assert Deployment.objects.count() == 1


def test_a_reply_without_a_body_comes_again(api, user):
    project, client = make_project(user), api(user)
    answers = [client.delete(f"/v1/projects/{project.pk}/", headers={"Idempotency-Key": KEY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert answers[1]["Idempotency-Replayed"] == "true"


def test_a_replay_has_a_request_id_of_its_own(api, user):
    answers = [post(api(user), projects_url(user), {"name": "dock"}, **{"X-Request-Id": name}) for name in ("one", "two")]
    assert [answer["X-Request-Id"] for answer in answers] == ["one", "two"]


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        ("", '{"name": "other"}', "application/json"),
        ("?a=b", '{"name": "dock"}', "application/json"),
        ("", '{"name": "dock"}', "application/json; charset=utf-8"),
    ],
    ids=["body", "query", "content type"],
)
def test_a_key_that_came_with_another_request_is_refused_with_what_to_do(api, user, query, body, kind):
    client = api(user)
    client.generic("POST", projects_url(user), '{"name": "dock"}', content_type="application/json", headers={"Idempotency-Key": KEY})
    answer = client.generic("POST", projects_url(user) + query, body, content_type=kind, headers={"Idempotency-Key": KEY})
    assert refusal(answer) == (422, "idempotency_key_reused")
    assert "new key" in answer.json()["detail"]
    assert Project.objects.filter(name__in=["dock", "other"]).count() == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "käy", "tab\there"], ids=["empty", "long", "not ASCII", "control"])
def test_what_is_no_key_is_refused(api, user, key):
    answer = post(api(user), projects_url(user), {"name": "dock"}, key)
    assert refusal(answer) == (400, "idempotency_key")
    assert "Idempotency-Key" in answer.json()["fields"]
    assert not Project.objects.filter(name="dock").exists()


@pytest.mark.parametrize("key", ["x", "~" * 255, 'a "b" c'], ids=["short", "long", "quotes"])
def test_any_printable_text_is_a_key(api, user, key):
    answers = [post(api(user), projects_url(user), {"name": "dock"}, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]


def test_without_a_key_nothing_is_kept_and_no_question_more_is_asked(api, user, django_assert_num_queries):
    client = api(user)
    post(client, projects_url(user), {"name": "dock"}, None)
    with connection.execute_wrapper(refuse_keys):
        answer = post(client, projects_url(user), {"name": "dock"}, None)
    assert refusal(answer) == (409, "name_taken")
    assert not IdempotencyKey.objects.exists()


def refuse_keys(execute, sql, params, many, context):
    """Fail at a question about keys."""
    assert IdempotencyKey._meta.db_table not in sql
    return execute(sql, params, many, context)


def test_reading_ignores_a_key(api, user):
    assert api(user).get("/v1/users/me/", headers={"Idempotency-Key": ""}).status_code == 200
    assert not IdempotencyKey.objects.exists()


def test_a_method_that_a_route_has_not_stays_unknown_with_a_key(api, user):
    assert refusal(post(api(user), "/v1/projects/", {})) == (405, "method_not_allowed")


def test_one_key_on_two_routes_and_of_two_people_means_different_things(api, user, stranger):
    paths = [projects_url(user), projects_url(user).replace("/projects/", "/namespaces/")]
    assert [post(api(user), path, {"name": "dock"}).status_code for path in paths] == [201, 201]
    assert post(api(stranger), projects_url(stranger), {"name": "dock"}).status_code == 201
    assert Project.objects.filter(name="dock").count() == 2


def test_what_was_refused_did_nothing_and_may_be_sent_again_with_the_same_key(api, user):
    client, path = api(user), projects_url(user)
    taken = make_project(user, "dock")
    assert post(client, path, {"name": "?"}).status_code == 400
    assert refusal(post(client, path, {"name": "dock"})) == (409, "name_taken")
    assert not IdempotencyKey.objects.exists()
    taken.delete()
    assert post(client, path, {"name": "dock"}).status_code == 201


def test_a_fault_of_ours_is_not_kept_and_what_it_did_is_undone(api, user, monkeypatch):
    client, path = api(user, raise_request_exception=False), projects_url(user)
    with monkeypatch.context() as patch:
        patch.setattr("controlplane.projects.api.views.ProjectOutput", None)
        assert post(client, path, {"name": "dock"}).status_code == 500
    assert not Project.objects.filter(name="dock").exists()
    assert post(client, path, {"name": "dock"}).status_code == 201


def test_two_tokens_of_a_person_share_keys_and_a_narrower_one_has_its_own(api, user):
    path = projects_url(user)
    post(api(user), path, {"name": "dock"})
    assert post(api(user), path, {"name": "dock"})["Idempotency-Replayed"] == "true"
    narrow = api()
    clear = make_token(user)
    ApiToken.objects.filter(prefix=clear[:8]).update(scopes=[Scope.ADMIN])
    narrow.credentials(HTTP_AUTHORIZATION=f"Token {clear}")
    assert refusal(post(narrow, path, {"name": "dock"})) == (409, "name_taken")


def test_a_token_that_was_taken_back_gets_no_reply(api, user):
    client = api(user)
    post(client, projects_url(user), {"name": "dock"})
    client.delete(f"/v1/users/me/tokens/{ApiToken.objects.get().pk}/")
    assert post(client, projects_url(user), {"name": "dock"}).status_code == 401


@pytest.fixture
def team(user):
    """An organization of somebody else's with a project, where the user may do everything."""
    organization = make_organization(make_user(), "harbour")
    make_member(organization, Role.MANAGER, user)
    return organization


def change_role(user, role):
    """Give another role, or none."""
    rows = Membership.objects.filter(user=user)
    rows.update(role=role) if role else rows.delete()


@pytest.mark.parametrize(("role", "status"), [(None, 404), (Role.MEMBER, 403)], ids=["removed", "lowered"])
def test_who_may_not_do_it_any_more_gets_no_reply_either(api, user, team, role, status):
    path = f"/v1/projects/{make_shared_project(team).pk}/"
    client = api(user)

    def change():
        return client.put(path, {"description": "of team 4"}, format="json", headers={"Idempotency-Key": KEY})

    assert [change().status_code for _ in range(2)] == [200, 200]
    change_role(user, role)
    answer = change()
    assert answer.status_code == status
    assert "team 4" not in answer.content.decode()


def test_what_is_gone_by_now_is_not_told_of_again(api, user, team):
    """Nobody can say any more whether the caller would still see it: a former member is told as little as anybody else."""
    project = make_shared_project(team)
    client, path = api(user), f"/v1/projects/{project.pk}/"

    def change():
        return client.put(path, {"description": "of team 4"}, format="json", headers={"Idempotency-Key": KEY})

    assert change().status_code == 200
    Project.objects.filter(pk=project.pk).delete()
    answer = change()
    assert refusal(answer) == (404, "not_found")
    assert "team 4" not in answer.content.decode()


def test_a_deletion_that_is_sent_again_is_told_as_before(api, user):
    client, path = api(user), f"/v1/projects/{make_project(user).pk}/"
    answers = [client.delete(path, headers={"Idempotency-Key": KEY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]


def test_who_does_not_see_what_they_made_any_more_gets_no_reply(api, user, team):
    client, path = api(user), f"/v1/namespaces/{team.namespaces.get().pk}/projects/"
    make_member(team, Role.MEMBER, colleague := make_user())
    assert post(client, path, {"name": "hulls", "visibility": "PRIVATE"}).status_code == 201
    change_role(user, Role.PARTNER)
    answer = post(client, path, {"name": "hulls", "visibility": "PRIVATE"})
    assert answer.status_code == 404
    assert colleague.username not in answer.content.decode()


def test_neither_key_nor_body_nor_reply_can_be_read_in_the_database(api, user):
    client = api(user)
    made = [post(client, "/v1/users/me/tokens/", {"name": "camera", "ttl": 60}) for _ in range(2)]
    clear = made[0].json()["clear_token"]
    assert made[1].json()["clear_token"] == clear
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT row_to_json(t)::text, encode(reply, 'escape') FROM {IdempotencyKey._meta.db_table} t")  # noqa: S608
        kept = json.dumps(cursor.fetchall())
    for secret in (KEY, clear, "camera"):
        assert secret not in kept


def test_another_secret_key_opens_nothing(api, user, settings):
    client = api(user)
    post(client, projects_url(user), {"name": "dock"})
    settings.SECRET_KEY = "another"
    assert refusal(post(client, projects_url(user), {"name": "dock"})) == (409, "name_taken")


def test_a_row_that_was_tampered_with_tells_that_it_was_done_and_nothing_more(api, user):
    client = api(user)
    post(client, projects_url(user), {"name": "dock"})
    IdempotencyKey.objects.update(reply=b"x" * 200)
    assert refusal(post(client, projects_url(user), {"name": "dock"})) == (409, "idempotency_reply_not_kept")


def test_a_reply_that_is_too_large_is_not_kept_and_the_work_not_done_again(api, user, monkeypatch):
    monkeypatch.setattr("controlplane.api.idempotency.sealing.LARGEST_REPLY", 10)
    client = api(user)
    assert post(client, projects_url(user), {"name": "dock"}).status_code == 201
    answer = post(client, projects_url(user), {"name": "dock"})
    assert refusal(answer) == (409, "idempotency_reply_not_kept")
    assert "Do not send it again" in answer.json()["detail"]
    assert Project.objects.filter(name="dock").count() == 1


def test_a_body_that_is_too_large_to_hold_is_refused_before_it_is_read(api, user):
    answer = post(api(user), projects_url(user), {"name": "dock", "description": "x" * 2**21})
    assert refusal(answer) == (413, "too_large")
    assert not IdempotencyKey.objects.exists()


def test_a_sign_up_is_repeated_from_its_own_address_alone(api, db):
    body = {"username": "ines", "email": "ines@example.com", "password": PASSWORD}
    answers = [api().post("/v1/accounts/signup/", body, headers={"Idempotency-Key": KEY}, REMOTE_ADDR=f"10.0.0.{at}") for at in (1, 1, 2)]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert answers[1].json() == answers[0].json()


def test_a_key_is_forgotten_after_a_day(api, user, clock):
    client = api(user, raise_request_exception=False)
    token = ApiToken.objects.all()
    token.update(expires_at=clock_end())
    post(client, projects_url(user), {"name": "dock"})
    clock.advance(hours=23, minutes=59)
    assert post(client, projects_url(user), {"name": "dock"})["Idempotency-Replayed"] == "true"
    clock.advance(minutes=2)
    assert post(client, projects_url(user), {"name": "quay"}).status_code == 201
    assert Project.objects.filter(name__in=["dock", "quay"]).count() == 2


def clock_end():
    """Return a moment that no test comes to."""
    from datetime import UTC, datetime

    return datetime(2999, 1, 1, tzinfo=UTC)


def test_beat_sweeps_what_has_expired_in_batches(api, user, clock, monkeypatch):
    monkeypatch.setattr("controlplane.api.idempotency.claims.SWEPT_TOGETHER", 2)
    for number in range(5):
        post(api(user), projects_url(user), {"name": f"dock {number}"}, key=str(number))
    assert sweep_keys() == 0
    clock.advance(hours=24, seconds=1)
    sweep_idempotency_keys_task()
    assert not IdempotencyKey.objects.exists()


def test_the_sweep_is_in_the_schedule_of_beat(settings):
    assert settings.CELERY_BEAT_SCHEDULE["api.sweep_idempotency_keys"]["task"] == sweep_idempotency_keys_task.name


def test_the_table_is_as_the_models_say():
    call_command("makemigrations", "api", check=True, dry_run=True)
