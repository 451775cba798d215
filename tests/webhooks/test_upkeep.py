"""The outbox stays small."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controlplane.audit.models import AuditEntry
from controlplane.common.ids import uuid7
from controlplane.webhooks import backlog, upkeep
from controlplane.webhooks.models import Delivery, Webhook
from controlplane.webhooks.upkeep import prune
from tests.webhooks.sending import happen

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("state", "days"), [("DELIVERED", 7), ("DEAD", 30)])
def test_what_has_ended_is_kept_for_its_time(project, webhook, moving_clock, state, days):
    happen(project, 3)
    Delivery.objects.update(state=state, ended_at=moving_clock.now)
    moving_clock.advance(days=days)
    assert prune() == 0
    moving_clock.advance(seconds=1)

    assert prune() == 3


def test_much_is_deleted_in_pieces(project, webhook, moving_clock, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr(upkeep, "BATCH", 10)
    happen(project, 35)
    Delivery.objects.update(state="DELIVERED", ended_at=moving_clock.now - timedelta(days=8))

    assert prune() == 35


def test_what_waits_is_never_deleted_while_its_webhook_is_active(project, webhook, moving_clock):
    happen(project)
    moving_clock.advance(days=400)
    assert prune() == 0
    Webhook.objects.update(active=False)

    assert prune() == 1


def test_what_belongs_to_no_webhook_goes(project, webhook):
    happen(project, 2)
    Delivery.objects.filter(data__number=1).update(webhook_id=uuid7())

    assert prune() == 1


def test_a_receiver_that_is_hopelessly_behind_is_disabled_and_says_why(project, webhook, monkeypatch):
    happen(project, 5)
    monkeypatch.setattr(backlog, "MOST_WAITING", 6)
    prune()
    assert Webhook.objects.get().active
    monkeypatch.setattr(backlog, "MOST_WAITING", 5)

    prune()

    row = Webhook.objects.get()
    assert (row.active, row.disabled_reason) == (False, backlog.reason())
    assert set(Delivery.objects.values_list("state", flat=True)) == {"DEAD"}
    assert AuditEntry.objects.get(action="webhook.disable").details["undelivered"] == 5


def test_of_dead_deliveries_the_newest_are_kept_and_no_more_than_so_many(project, webhook, listen, moving_clock, monkeypatch):
    other, _ = listen("https://other.example.com/")
    happen(project, 8)
    Delivery.objects.update(state="DEAD", ended_at=moving_clock.now)
    Delivery.objects.filter(webhook=other, data__number__gte=5).update(state="DELIVERED")
    monkeypatch.setattr(upkeep, "MOST_DEAD", 5)

    assert prune() == 3

    kept = Delivery.objects.filter(webhook=webhook).order_by("sequence").values_list("data__number", flat=True)
    assert list(kept) == [3, 4, 5, 6, 7]
    assert Delivery.objects.filter(webhook=other).count() == 8
