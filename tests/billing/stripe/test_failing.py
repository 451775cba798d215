"""Events that keep failing are told to the operators, who can have them tried again, and the alert ends when they are handled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from billing.models import StripeEvent
from billing.stripe import applying
from billing.stripe.buying import start_checkout
from billing.stripe.events import act_on_events
from billing.stripe.failing import MOST_TRIES
from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.workspaces.models import Namespace
from deployments.alerts import mail_alerts
from deployments.models import Alert, AlertKind
from deployments.payments_watch import watch_payments
from tests.billing.stripe.shop import Shop, credits_of, standing, undone


@pytest.fixture
def told(shop: Shop, mei: User, workspace: Namespace) -> Namespace:
    """A workspace whose pay page was paid; its events are stored, and nobody has acted on them."""
    shop.fake.pay(start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly"))
    shop.fake.webhooks.deliver()
    StripeEvent.objects.update(received_at=clock.now())
    return workspace


@contextmanager
def broken() -> Iterator[None]:
    """A fault of ours: nothing that was paid can be granted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "grant_plan", lambda **_: 1 / 0)
        yield


def fail(shop: Shop, times: int) -> None:
    """Let the events fail so often, each time when they are due."""
    for _ in range(times):
        assert act_on_events() == 0
        due = StripeEvent.objects.filter(done_at=None).order_by("-next_try_at").values_list("next_try_at", flat=True)[0]
        assert due is not None
        shop.fake.advance(hours=(due - clock.now()) / timedelta(hours=1))


def open_alerts() -> list[Alert]:
    return list(Alert.objects.filter(kind=AlertKind.STRIPE_EVENT_FAILS, cleared_at=None).order_by("created_at"))


def oldest() -> StripeEvent:
    return StripeEvent.objects.order_by("received_at", "pk")[0]


def test_trying_at_once_goes_on_behind_those_that_fail(
    shop: Shop, told: Namespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.stripe.events.BATCH", 1)
    last = StripeEvent.objects.create(id="evt_last", type="customer.updated", customer="cus_of_nobody", occurred_at=clock.now())
    before = undone()
    with broken():
        call_command("stripe_events", "--now")

    last.refresh_from_db()
    assert last.done_at is not None
    assert undone() == before - 1
    assert capsys.readouterr().out.splitlines()[0] == "1 done."


def test_an_event_that_failed_often_is_told_with_its_id_its_type_and_what_to_do(shop: Shop, told: Namespace) -> None:
    with broken():
        fail(shop, MOST_TRIES - 1)
        assert (watch_payments(), open_alerts()) == (0, []), "a few failures mend themselves"
        fail(shop, 1)

    assert watch_payments() == 1

    (alert,) = open_alerts()
    assert alert.subject == "ZeroDivisionError"
    assert f"Stripe's event {oldest().pk} ({oldest().type}, customer cus_" in alert.detail
    assert f"and {undone() - 1} more" in alert.detail
    assert "6 tries ended with 'ZeroDivisionError: division by zero'" in alert.detail
    assert "The worker's log says what stands in the way" in alert.detail
    assert "`manage.py stripe_events --now` tries at once" in alert.detail


def test_the_alert_is_mailed_once_and_ends_by_itself_when_the_events_are_handled(shop: Shop, mei: User, told: Namespace) -> None:
    User.objects.filter(pk=mei.pk).update(is_staff=True, email="mei@example.com")
    with broken():
        fail(shop, MOST_TRIES)
    for _ in range(3):
        watch_payments()
        mail_alerts()
    assert [message.subject for message in mail.outbox] == ["Slipway: 1 alerts"]
    assert oldest().pk in mail.outbox[0].body

    act_on_events()

    assert (watch_payments(), open_alerts(), undone()) == (0, [], 0)
    assert (standing(told), credits_of(told)) == (("starter-monthly", "ACTIVE"), [2000])


def test_while_stripe_is_away_there_is_one_alert_for_all_customers(shop: Shop, told: Namespace) -> None:
    StripeEvent.objects.filter(pk=oldest().pk).update(customer="cus_another")
    StripeEvent.objects.update(attempts=MOST_TRIES, error="payments_unavailable")

    assert watch_payments() == 1
    (alert,) = open_alerts()
    assert alert.subject == "payments_unavailable"
    assert "Stripe does not answer the workers" in alert.detail


def test_an_event_that_no_worker_ever_ended_is_told_after_an_hour(shop: Shop, told: Namespace) -> None:
    shop.fake.advance(hours=0.9)
    assert watch_payments() == 0

    shop.fake.advance(hours=0.2)

    assert watch_payments() == 1
    assert open_alerts()[0].subject == "unfinished"
    assert "A worker begins and never ends it, or none begins" in open_alerts()[0].detail


def test_the_alert_names_an_event_that_still_fails(shop: Shop, told: Namespace) -> None:
    StripeEvent.objects.update(attempts=MOST_TRIES, error="KeyError: 'x'")
    watch_payments()
    first = oldest()

    StripeEvent.objects.filter(pk=first.pk).update(done_at=clock.now())
    watch_payments()

    (alert,) = open_alerts()
    assert first.pk not in alert.detail
    assert StripeEvent.objects.filter(done_at=None).order_by("received_at", "pk")[0].pk in alert.detail


def test_one_look_that_succeeds_is_enough_for_all_that_was_told_of_the_customer(shop: Shop, told: Namespace) -> None:
    later = clock.now() + timedelta(hours=6)
    waits = StripeEvent.objects.filter(pk=oldest().pk)
    waits.update(attempts=MOST_TRIES, error="KeyError: 'x'", next_try_at=later)

    act_on_events()

    assert (undone(), watch_payments()) == (0, 0)


def test_operators_see_what_waits_and_have_it_tried_at_once(shop: Shop, told: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    with broken():
        act_on_events()
    count = undone()

    call_command("stripe_events")
    listed = capsys.readouterr().out
    assert f"{oldest().pk}  {oldest().type}  {oldest().customer}  tries 1, next 2026-01-31 10:00" in listed
    assert "ZeroDivisionError: division by zero" in listed

    call_command("stripe_events", "--now")

    assert capsys.readouterr().out == f"{count} done.\nNo event waits.\n"
    assert credits_of(told) == [2000]


def test_without_keys_nothing_is_tried_and_the_command_says_why(shop: Shop, told: Namespace, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""

    with pytest.raises(CommandError, match="Set STRIPE_SECRET_KEY"):
        call_command("stripe_events", "--now")

    assert set(StripeEvent.objects.values_list("attempts", flat=True)) == {0}


def test_an_event_of_nobody_is_not_told(shop: Shop, told: Namespace) -> None:
    StripeEvent.objects.update(customer="cus_other")
    act_on_events()
    shop.fake.advance(hours=2)

    assert watch_payments() == 0
