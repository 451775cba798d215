"""What happened and what is to be sent are one transaction."""

from __future__ import annotations

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.common.ids import uuid7
from controlplane.webhooks import backlog
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.outbox import NewEvent, emit_event, emit_events
from controlplane.webhooks.services import update_webhook
from controlplane.webhooks.signing import new_secret, signed_headers
from controlplane.webhooks.upkeep import stop_overflowing
from tests.factories import make_project
from tests.webhooks.receiver import Received, is_signed
from tests.webhooks.sending import deliver, happen

pytestmark = pytest.mark.django_db


def test_what_is_undone_is_never_sent(project, webhook, receiver, hints, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        happen(project)
        transaction.set_rollback(True)

    assert deliver() == 0
    assert (Delivery.objects.count(), receiver.received, hints) == (0, [], [])


def test_a_worker_is_told_once_after_the_commit(project, webhook, hints, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        with transaction.atomic():
            emit_events([NewEvent(project.pk, "run.failed", str(number), {}) for number in range(3)])
        assert hints == []

    assert hints == ["webhooks.deliver_due"]


def test_a_project_without_webhooks_costs_one_query_however_much_happens(project, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(1):
        emit_events([NewEvent(project.pk, "run.failed", str(number), {}) for number in range(500)])


def test_many_events_are_written_at_once(project, webhook, django_assert_num_queries):
    happen(project)
    with transaction.atomic(), django_assert_num_queries(2):
        emit_events([NewEvent(project.pk, "run.failed", str(number), {}) for number in range(500)])

    assert Delivery.objects.count() == 501


@pytest.fixture
def little_room(monkeypatch):
    """A project whose deliveries fill its room soon."""
    monkeypatch.setattr(backlog, "MOST_WAITING", 10)
    monkeypatch.setattr(backlog, "RECOUNT_AFTER", 5)


def test_a_receiver_that_takes_nothing_fills_no_more_than_its_project_may_have(
    project, webhook, hints, little_room, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(30):
            happen(project)

    assert Delivery.objects.count() == 10
    assert "webhooks.stop_overflowing" in hints
    stop_overflowing()
    row = Webhook.objects.get()
    assert (row.active, row.disabled_reason) == (False, backlog.reason())


def test_much_at_once_ends_at_the_room_that_there_is_soon_after(project, webhook, little_room):
    for _ in range(10):
        with transaction.atomic():
            emit_events([NewEvent(project.pk, "run.failed", str(number), {}) for number in range(7)])

    assert Delivery.objects.count() == 14


def test_who_takes_its_deliveries_is_told_on_while_another_one_is_left_out(project, listen, little_room):
    dead, _ = listen("https://dead.example.com/")
    alive, _ = listen("https://alive.example.com/")
    for _ in range(20):
        happen(project)
        Delivery.objects.filter(webhook=alive).update(state="DELIVERED")

    stop_overflowing()

    assert Delivery.objects.filter(webhook=alive).count() == 20
    assert 10 <= Delivery.objects.filter(webhook=dead).count() < 15
    assert list(Webhook.objects.filter(active=True)) == [alive]


def test_one_that_is_activated_again_is_told_at_once_what_happens(user, project, webhook, little_room):
    for _ in range(15):
        happen(project)
    stop_overflowing()
    update_webhook(actor=user, webhook_id=webhook.pk, active=True)

    happen(project)

    assert set(Delivery.objects.values_list("state", flat=True)) == {"DEAD", "PENDING"}


def test_only_webhooks_that_listen_are_told(user, project, listen):
    other = make_project(user, "dock")
    listening, _ = listen("https://a.example.com/", events=["run.failed"])
    listen("https://b.example.com/", events=["run.succeeded"])
    listen("https://c.example.com/", to=other)
    silent, _ = listen("https://d.example.com/")
    Webhook.objects.filter(pk=silent.pk).update(active=False)

    happen(project)

    assert list(Delivery.objects.values_list("webhook", flat=True)) == [listening.pk]


def test_all_webhooks_are_told_of_an_event_under_one_id(project, listen):
    for name in "abc":
        listen(f"https://{name}.example.com/")

    happen(project)

    assert (Delivery.objects.count(), Delivery.objects.values("event_id").distinct().count()) == (3, 1)


def test_an_event_that_is_told_twice_is_sent_once(project, webhook):
    event = NewEvent(project.pk, "run.failed", "1", {}, event_id=uuid7())
    for _ in range(2):
        with transaction.atomic():
            emit_events([event, event])

    assert Delivery.objects.count() == 1


def test_an_event_of_no_known_type_is_a_mistake(project, webhook):
    with transaction.atomic(), pytest.raises(ValueError, match=r"run\.started"):
        emit_event(project_id=project.pk, type="run.started", subject="1", data={})


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_of_a_transaction_is_a_mistake(project):
    with pytest.raises(RuntimeError, match="inside the transaction"):
        emit_event(project_id=project.pk, type="run.failed", subject="1", data={})


@pytest.mark.parametrize("data", [{"text": "\x00 and \ud800"}, {"price": 0.1, "when": {1, 2}}], ids=["no text", "no JSON"])
def test_what_json_cannot_hold_does_not_undo_what_happened(project, webhook, receiver, data):
    with transaction.atomic():
        emit_event(project_id=project.pk, type="run.failed", subject="1", data=data)

    assert deliver() == 1


def test_a_webhook_that_is_deleted_at_this_moment_does_not_undo_what_happened(project, webhook, monkeypatch):
    gone = uuid7()
    monkeypatch.setattr("controlplane.webhooks.outbox.listened", lambda events: [(event, [gone]) for event in events])

    happen(project)

    assert Delivery.objects.get().webhook_id == gone


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=2000), timestamp=st.integers(0, 2**40), flipped=st.integers(0), count=st.integers(1, 2))
def test_a_signature_fits_what_was_signed_and_nothing_else(body, timestamp, flipped, count):
    secrets = [new_secret() for _ in range(count)]
    headers = signed_headers(secrets, event_id="0198b2d0", timestamp=timestamp, body=body)
    request = Received("/", headers, body)
    assert all(is_signed(request, secret) for secret in secrets)
    assert not is_signed(request, new_secret())
    assert not is_signed(Received("/", {**headers, "webhook-timestamp": str(timestamp + 1)}, body), secrets[0])
    assert not is_signed(Received("/", {**headers, "webhook-id": "0198b2d1"}, body), secrets[0])
    changed = bytearray(body or b"\0")
    changed[flipped % len(changed)] ^= 1
    assert not is_signed(Received("/", headers, bytes(changed)), secrets[0])
