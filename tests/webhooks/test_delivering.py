"""What receivers are sent, and what becomes of it when they do not take it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from controlplane.audit.models import AuditEntry
from controlplane.webhooks import delivery, wire
from controlplane.webhooks.claims import LEASE, TURN, claim_turns, give_back
from controlplane.webhooks.delivery import deliver_turn, keep_success
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.schedule import DISABLE_AFTER, FAULT_PAUSE, MOST_ATTEMPTS, PAUSES
from controlplane.webhooks.services import delete_webhook, rotate_secret, update_webhook
from tests.webhooks.receiver import Receiver, answers, babbles, closes, drips, floods, hangs, is_signed
from tests.webhooks.sending import deliver, happen

pytestmark = pytest.mark.django_db


def test_an_event_arrives_once_with_what_happened(project, webhook, receiver, moving_clock):
    happen(project)

    assert (deliver(), deliver()) == (1, 0)

    (request,) = receiver.received
    row = Delivery.objects.get()
    assert request.path == "/hook"
    assert json.loads(request.body) == {
        "id": str(row.event_id),
        "type": "run.failed",
        "timestamp": "2026-03-02T09:00:00+00:00",
        "sequence": row.sequence,
        "project": str(project.pk),
        "subject": "subject 0",
        "data": {"number": 0},
    }
    assert (request.headers["webhook-id"], request.headers["content-type"]) == (str(row.event_id), "application/json")
    assert request.headers["webhook-timestamp"] == str(int(moving_clock.now.timestamp()))
    assert (row.state, row.attempts, row.last_status, row.last_error, row.ended_at) == ("DELIVERED", 1, 200, "", moving_clock.now)


def test_events_of_one_webhook_arrive_in_their_order_over_one_connection(project, webhook, receiver):
    happen(project, 45)

    assert deliver() == 45

    assert [json.loads(request.body)["data"]["number"] for request in receiver.received] == list(range(45))


def test_a_receiver_can_verify_with_nothing_but_the_secret(project, listen, receiver):
    _, secret = listen(receiver.url)
    happen(project, event="deployment.created")

    deliver()

    (request,) = receiver.received
    assert is_signed(request, secret)
    assert not is_signed(request._replace(body=request.body + b" "), secret)
    assert not is_signed(request, "whsec_" + "AAAA" * 8)


def test_both_secrets_sign_for_a_day_after_a_rotation(user, project, listen, receiver, moving_clock):
    webhook, old = listen(receiver.url)
    _, new = rotate_secret(actor=user, webhook_id=webhook.pk)
    happen(project)
    deliver()
    moving_clock.advance(hours=24)
    happen(project)
    deliver()

    first, later = receiver.received
    assert is_signed(first, old) and is_signed(first, new)  # noqa: PT018 - they belong together
    assert is_signed(later, new)
    assert not is_signed(later, old)


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (answers(500), 500, "It answered 500."),
        (answers(404), 404, "It answered 404."),
        (closes, None, "The connection ended before the answer, or the answer is no HTTP."),
        (babbles, None, "The connection ended before the answer, or the answer is no HTTP."),
        (hangs, None, "No answer within 10 s."),
        (drips, None, "No answer within 10 s."),
    ],
    ids=["500", "404", "closes", "no HTTP", "hangs", "drips"],
)
def test_what_is_not_taken_is_kept_and_tried_again(project, webhook, receiver, moving_clock, short_waits, reply, status, error):
    receiver.reply = reply
    happen(project)

    assert deliver() == 0

    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.last_status, row.last_error, row.lease_token) == ("PENDING", 1, status, error, None)
    assert timedelta(seconds=5) <= row.next_attempt_at - moving_clock.now <= timedelta(seconds=6)
    moving_clock.advance(seconds=6)
    receiver.reply = answers(204)
    assert deliver() == 1
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_a_receiver_that_is_not_there_is_tried_again(project, webhook, receiver, moving_clock):
    receiver.close()
    happen(project)

    assert deliver() == 0

    row = Delivery.objects.get()
    assert (row.state, row.attempts) == ("PENDING", 1)
    assert row.last_error.startswith("The connection failed: ")


def test_a_redirect_is_not_followed(project, webhook, receiver):
    receiver.reply = answers(302, Location=receiver.url.replace("hook", "elsewhere"))
    happen(project)

    deliver()

    assert [request.path for request in receiver.received] == ["/hook"]
    assert Delivery.objects.get().last_error == wire.REDIRECTED


def test_an_endless_answer_counts_by_its_status_and_is_not_read(project, webhook, receiver, short_waits):
    receiver.reply = floods
    happen(project)

    assert deliver() == 1


def test_a_receiver_that_asks_for_time_gets_it(project, webhook, receiver, moving_clock):
    receiver.reply = answers(429, Retry_After="600")
    happen(project)

    deliver()

    assert timedelta(minutes=10) <= Delivery.objects.get().next_attempt_at - moving_clock.now <= timedelta(minutes=12)


def test_after_the_last_attempt_it_is_dead(project, webhook, receiver, moving_clock):
    receiver.reply = answers(500)
    happen(project)
    for pause in PAUSES:
        Webhook.objects.update(failing_since=None, hold_until=None)  # others arrive in between
        assert deliver() == 0
        moving_clock.advance(seconds=pause * 1.2)
    Webhook.objects.update(failing_since=None, hold_until=None)
    deliver()

    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.ended_at) == ("DEAD", MOST_ATTEMPTS, moving_clock.now)
    assert len(receiver.received) == MOST_ATTEMPTS
    assert timedelta(days=2.5) < sum((timedelta(seconds=pause) for pause in PAUSES), timedelta()) < timedelta(days=3)


def test_a_receiver_that_keeps_failing_is_left_alone_for_ever_longer(project, webhook, receiver, moving_clock):
    receiver.reply = answers(500)
    happen(project, 30)
    deliver()
    assert len(receiver.received) == 3
    waits = []
    for _ in range(8):
        webhook.refresh_from_db()
        waits.append((webhook.hold_until - moving_clock.now).total_seconds())
        moving_clock.now = webhook.hold_until
        deliver()
    assert len(receiver.received) == 11
    assert all(low <= wait <= low * 1.2 for wait, low in zip(waits, [5, 10, 20, 40, 80, 160, 300, 300], strict=True))


def test_what_waited_goes_at_once_when_the_receiver_answers_again(project, webhook, receiver, moving_clock):
    receiver.reply = answers(500)
    happen(project, 4)
    deliver()
    Delivery.objects.filter(attempts=1).update(next_attempt_at=F("next_attempt_at") + timedelta(hours=3))
    webhook.refresh_from_db()
    moving_clock.now = webhook.hold_until
    receiver.reply = answers(200)

    assert deliver() == 4

    webhook.refresh_from_db()
    assert (webhook.failures, webhook.failing_since, webhook.hold_until) == (0, None, None)


def test_after_days_of_failing_the_webhook_is_disabled_and_says_why(user, project, webhook, receiver, moving_clock):
    receiver.reply = answers(500)
    happen(project, 2)
    deliver()
    moving_clock.advance(seconds=DISABLE_AFTER.total_seconds())
    happen(project)

    deliver()

    webhook.refresh_from_db()
    assert (webhook.active, webhook.disabled_reason) == (False, "Every delivery has failed for 3 days.")
    assert set(Delivery.objects.values_list("state", flat=True)) == {"DEAD"}
    line = AuditEntry.objects.get(action="webhook.disable")
    assert (line.actor_id, line.chain, line.details["undelivered"]) == (None, user.pk, 3)
    happen(project)
    assert Delivery.objects.count() == 3


def test_a_receiver_that_is_gone_for_good_is_disabled_at_once(user, project, webhook, receiver):
    receiver.reply = answers(410)
    happen(project, 3)

    deliver()

    webhook.refresh_from_db()
    assert (webhook.active, len(receiver.received)) == (False, 1)
    assert "410 Gone" in webhook.disabled_reason
    update_webhook(actor=user, webhook_id=webhook.pk, active=True)
    webhook.refresh_from_db()
    assert (webhook.active, webhook.disabled_reason, webhook.failures) == (True, "", 0)


def test_what_a_dead_worker_had_taken_is_sent_again_under_the_same_id(project, webhook, receiver, moving_clock, monkeypatch):
    happen(project, 3)
    (turn,) = claim_turns(quick=1, slow=1)
    with monkeypatch.context() as death:
        death.setattr("controlplane.webhooks.delivery.keep_success", lambda *_: 1 // 0)
        death.setattr("controlplane.webhooks.delivery.give_back", lambda _: None)
        with pytest.raises(ZeroDivisionError):
            deliver_turn(turn)
    assert deliver() == 0
    moving_clock.advance(seconds=LEASE.total_seconds())

    assert deliver() == 3

    ids = [request.headers["webhook-id"] for request in receiver.received]
    assert len(ids) == 4
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_what_a_worker_writes_after_its_lease_is_discarded(project, webhook, receiver, moving_clock):
    happen(project)
    (late,) = claim_turns(quick=1, slow=1)
    moving_clock.advance(seconds=LEASE.total_seconds())
    (taken,) = claim_turns(quick=1, slow=1)
    receiver.reply = answers(500)
    assert deliver_turn(late) == 0
    row = Delivery.objects.get()
    assert (row.attempts, row.lease_token) == (0, taken.token)
    webhook.refresh_from_db()
    assert webhook.failures == 0
    give_back(late)
    receiver.reply = answers(200)

    assert deliver_turn(taken) == 1


def test_a_webhook_that_is_deleted_meanwhile_is_no_error(project, webhook, receiver):
    happen(project, 2)
    (turn,) = claim_turns(quick=1, slow=1)
    Delivery.objects.all().delete()
    Webhook.objects.all().delete()

    assert deliver_turn(turn) == 0


def point_elsewhere(user, webhook, other):
    update_webhook(actor=user, webhook_id=webhook.pk, target_url=other.url)


def deactivate(user, webhook, other):
    update_webhook(actor=user, webhook_id=webhook.pk, active=False)


def delete(user, webhook, other):
    delete_webhook(actor=user, webhook_id=webhook.pk)


@pytest.mark.parametrize(("change", "to_the_other"), [(point_elsewhere, 2), (deactivate, 0), (delete, 0)])
def test_what_changes_within_a_turn_counts_for_the_next_delivery(user, project, webhook, receiver, monkeypatch, change, to_the_other):
    """A receiver that somebody has just taken out is sent nothing more, not even what a worker had taken."""
    other = Receiver()
    happen(project, 3)
    (turn,) = claim_turns(quick=1, slow=1)

    def keep_and_change(*taken: Any) -> bool:
        kept = keep_success(*taken)
        change(user, webhook, other)
        return kept

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(delivery, "keep_success", keep_and_change)
        assert deliver_turn(turn) == 1
    deliver()
    other.close()

    assert (len(receiver.received), len(other.received)) == (1, to_the_other)


@pytest.mark.parametrize("place", ["secrets_of", "Connection", "body_of"])
def test_a_fault_of_ours_is_no_failure_of_the_receiver_and_makes_a_pause(project, webhook, receiver, moving_clock, monkeypatch, place):
    """Else the worker would take the same turn again and again, as fast as it can."""
    happen(project, 2 * TURN)
    (turn,) = claim_turns(quick=1, slow=1)
    with monkeypatch.context() as broken:
        broken.setattr(delivery, place, lambda *_, **__: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            deliver_turn(turn)

    assert claim_turns(quick=8, slow=8) == []
    webhook.refresh_from_db()
    assert (webhook.failures, webhook.active) == (0, True)
    moving_clock.advance(seconds=FAULT_PAUSE.total_seconds())
    assert deliver() == 2 * TURN
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}
