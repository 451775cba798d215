"""What managers do with webhooks through the API."""

from __future__ import annotations

import pytest

from controlplane.audit.models import AuditEntry
from controlplane.common.clock import now
from controlplane.webhooks import backlog, services
from controlplane.webhooks.catalogue import EVENTS
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.signing import opened
from tests.factories import make_member, make_organization, make_project, make_shared_project
from tests.webhooks.receiver import answers, is_signed
from tests.webhooks.sending import deliver, happen

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/T0KEN/in/the/path"


def create(client, project, **fields):
    body = {"target_url": URL, "events": ["run.failed"], **fields}
    return client.post(f"/v1/projects/{project.pk}/webhooks/", body, format="json")


def test_a_secret_is_told_once_and_kept_encrypted(api, user, project):
    answer = create(api(user), project)

    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    secret = answer.json()["secret"]
    assert secret.startswith("whsec_")
    row = Webhook.objects.get()
    assert secret not in row.secret_encrypted
    assert opened(row.secret_encrypted) == secret
    told = [api(user).get(url).content.decode() for url in (answer.json()["url"], f"/v1/projects/{project.pk}/webhooks/")]
    assert not any("whsec_" in text or row.secret_encrypted in text for text in told)


def test_neither_secret_nor_address_stands_in_the_audit_log(api, user, project):
    client = api(user)
    answer = create(client, project).json()
    client.patch(answer["url"], {"target_url": URL + "/more"}, format="json")
    rotated = client.post(answer["url"] + "rotate/").json()["secret"]
    client.delete(answer["url"])

    lines = AuditEntry.objects.filter(kind="webhook").order_by("sequence")
    assert [line.action for line in lines] == ["webhook.create", "webhook.edit", "webhook.rotate", "webhook.delete"]
    for line in lines:
        assert (line.actor_id, line.chain) == (user.pk, user.pk)
        assert line.details["host"] == "hooks.example.com"
        text = f"{line.name} {line.details}"
        assert not any(word in text for word in ("T0KEN", answer["secret"], rotated, "whsec_"))


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"target_url": "http://hooks.example.com/"}, "target_url"),
        ({"target_url": "https://169.254.169.254/latest/"}, "target_url"),
        ({"target_url": 5}, "target_url"),
        ({"target_url": ""}, "target_url"),
        ({"events": []}, "events"),
        ({"events": "run.failed"}, "events"),
        ({"events": ["run.started"]}, "events.0"),
        ({"events": [["run.failed"]]}, "events.0"),
        ({"events": None}, "events"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_the_field(api, user, project, fields, wrong):
    answer = create(api(user), project, **fields)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [wrong]
    assert not Webhook.objects.exists()


def test_the_refusal_of_an_event_lists_those_that_there_are(api, user, project):
    answer = create(api(user), project, events=["run.started"])

    assert answer.json()["fields"]["events.0"] == [f'"run.started" is none of: {", ".join(EVENTS)}.']


def test_a_project_has_so_many_webhooks_and_no_more(api, user, project, monkeypatch):
    monkeypatch.setattr(services, "MOST_WEBHOOKS", 2)
    client = api(user)
    assert [create(client, project).status_code for _ in range(3)] == [201, 201, 409]
    assert create(client, make_project(user, "dock")).status_code == 201


@pytest.mark.parametrize("role", ["PARTNER", "MEMBER"])
def test_who_does_not_manage_a_project_learns_nothing_and_changes_nothing(api, user, role):
    organization = make_organization(user)
    project = make_shared_project(organization)
    member = make_member(organization, role)
    webhook, _ = services.create_webhook(actor=user, project_id=project.pk, target_url=URL, events=["run.failed"])
    client, status = api(member), 404 if role == "PARTNER" else 403

    assert create(client, project).status_code == status
    assert client.get(f"/v1/webhooks/{webhook.pk}/").status_code == status
    assert client.patch(f"/v1/webhooks/{webhook.pk}/", {"active": False}, format="json").status_code == status
    assert client.post(f"/v1/webhooks/{webhook.pk}/rotate/").status_code == status

    row = Webhook.objects.get()
    assert (row.active, row.secret_encrypted, row.updated_at) == (True, webhook.secret_encrypted, webhook.updated_at)


def test_receivers_of_a_public_project_are_nobody_elses_business(api, user, stranger):
    project = make_project(user, "open", visibility="PUBLIC")
    webhook, _ = services.create_webhook(actor=user, project_id=project.pk, target_url=URL, events=["run.failed"])

    assert api(stranger).get(f"/v1/projects/{project.pk}/").status_code == 200
    assert api(stranger).get(f"/v1/projects/{project.pk}/webhooks/").status_code == 403
    assert api(stranger).get(f"/v1/webhooks/{webhook.pk}/").status_code == 404


def test_an_inactive_webhook_keeps_what_waits_and_is_told_nothing_new(api, user, project, webhook, receiver):
    happen(project)
    url = f"/v1/webhooks/{webhook.pk}/"
    assert api(user).patch(url, {"active": False}, format="json").json()["active"] is False
    happen(project)
    assert (deliver(), Delivery.objects.count()) == (0, 1)
    assert api(user).post(url + "ping/").status_code == 409

    api(user).patch(url, {"active": True}, format="json")

    assert deliver() == 1


def test_another_address_begins_anew(api, user, project, webhook, receiver, moving_clock):
    Webhook.objects.update(failures=9, failing_since=moving_clock.now, hold_until=moving_clock.now.replace(year=2027), target_url=URL)
    happen(project)
    assert deliver() == 0

    answer = api(user).patch(f"/v1/webhooks/{webhook.pk}/", {"target_url": receiver.url}, format="json").json()

    assert (answer["failures"], answer["failing_since"], answer["hold_until"]) == (0, None, None)
    assert deliver() == 1


def test_a_change_that_changes_nothing_leaves_no_line(api, user, webhook):
    assert api(user).patch(f"/v1/webhooks/{webhook.pk}/", {"active": True}, format="json").status_code == 200

    assert not AuditEntry.objects.filter(action="webhook.edit").exists()


def test_a_ping_arrives_signed_whatever_the_webhook_listens_to(api, user, listen, receiver):
    webhook, secret = listen(receiver.url, events=["run.failed"])

    answer = api(user).post(f"/v1/webhooks/{webhook.pk}/ping/")

    assert (answer.status_code, answer.json()["state"]) == (202, "PENDING")
    assert deliver() == 1
    assert is_signed(receiver.received[0], secret)
    shown = api(user).get(answer.json()["url"]).json()
    assert (shown["type"], shown["state"], shown["last_status"], shown["next_attempt_at"]) == ("webhook.ping", "DELIVERED", 200, None)


def test_a_rotation_tells_the_new_secret_and_until_when_the_old_one_signs(api, user, listen, receiver, moving_clock):
    webhook, old = listen(receiver.url)
    answer = api(user).post(f"/v1/webhooks/{webhook.pk}/rotate/")

    assert answer["Cache-Control"] == "no-store"
    assert answer.json()["secret"] not in ("", old)
    assert answer.json()["previous_secret_until"] == "2026-03-03T09:00:00Z"


def test_deliveries_are_listed_newest_first_and_by_state(api, user, project, webhook, receiver):
    happen(project, 3)
    deliver()
    receiver.reply = answers(500)
    happen(project, event="run.succeeded")
    deliver()
    url = f"/v1/webhooks/{webhook.pk}/deliveries/"

    rows = api(user).get(url).json()["results"]
    assert [row["state"] for row in rows] == ["PENDING", "DELIVERED", "DELIVERED", "DELIVERED"]
    assert [row["sequence"] for row in rows] == sorted((row["sequence"] for row in rows), reverse=True)
    counts = [api(user).get(url, query).json()["count"] for query in ({"state": "DELIVERED"}, {"state": "x"}, {"type": "run.succeeded"})]
    assert counts == [3, 0, 1]
    assert len(api(user).get(url, {"page_size": 2}).json()["results"]) == 2


def test_a_delivery_that_arrived_can_be_sent_again_under_its_id(api, user, project, webhook, receiver):
    happen(project)
    deliver()
    row = Delivery.objects.get()

    assert api(user).post(f"/v1/webhooks/deliveries/{row.uid}/replay/").status_code == 202
    assert deliver() == 1

    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert (len(receiver.received), Delivery.objects.get().attempts) == (2, 1)


def test_a_delivery_on_its_way_is_not_sent_twice(api, user, project, webhook):
    happen(project)
    row = Delivery.objects.get()

    answer = api(user).post(f"/v1/webhooks/deliveries/{row.uid}/replay/")

    assert (answer.status_code, answer.json()["code"]) == (409, "on_its_way")


def test_all_dead_deliveries_can_be_sent_again_in_their_order(api, user, project, webhook, receiver, monkeypatch):
    monkeypatch.setattr(services, "REPLAYED_TOGETHER", 15)
    happen(project, 25)
    Delivery.objects.filter(data__number__gte=5).update(state="DEAD", attempts=12, ended_at=now())
    Webhook.objects.update(active=False)
    url = f"/v1/webhooks/{webhook.pk}/"
    assert api(user).post(url + "replay/").json()["code"] == "webhook_inactive"
    api(user).patch(url, {"active": True}, format="json")

    answers = [api(user).post(url + "replay/").json() for _ in range(3)]
    assert answers == [{"replayed": 15, "left": 5}, {"replayed": 5, "left": 0}, {"replayed": 0, "left": 0}]
    assert deliver() == 25
    assert [int(request.body.split(b'"number":')[1].rstrip(b"}")) for request in receiver.received] == list(range(25))


def test_a_project_with_much_waiting_sends_that_before_what_is_dead(api, user, project, webhook, monkeypatch):
    monkeypatch.setattr(services, "REPLAYED_TOGETHER", 5)
    monkeypatch.setattr(backlog, "MOST_WAITING", 10)
    happen(project, 8)
    Delivery.objects.filter(data__number__gte=6).update(state="DEAD", ended_at=now())

    answer = api(user).post(f"/v1/webhooks/{webhook.pk}/replay/")

    assert (answer.status_code, answer.json()["code"]) == (409, "too_much_waiting")
    assert Delivery.objects.filter(state="DEAD").count() == 2


def test_a_deleted_webhook_takes_its_deliveries_along(api, user, project, webhook):
    happen(project)

    assert api(user).delete(f"/v1/webhooks/{webhook.pk}/").status_code == 204

    assert (Webhook.objects.count(), Delivery.objects.count()) == (0, 0)


def test_a_project_with_webhooks_can_be_deleted(api, user, project, webhook):
    happen(project)

    assert api(user).delete(f"/v1/projects/{project.pk}/").status_code == 204

    assert (Webhook.objects.count(), Delivery.objects.count()) == (0, 0)
