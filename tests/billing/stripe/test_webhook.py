"""Stripe's webhook: who is let in, what is stored, and what is done about it when."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest
import stripe
from rest_framework.test import APIClient

from billing.models import Plan, StripeEvent
from billing.stripe import applying, events
from billing.stripe.buying import start_checkout
from billing.stripe.catalogue import sync_plans
from billing.stripe.events import act_on_events
from controlplane.accounts.models import User
from controlplane.api.parsers import MOST_SIGNED_BYTES
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import WEBHOOK, Shop, credits_of, customer, standing, undone


@pytest.fixture
def paid(shop: Shop, mei: User, workspace: Namespace) -> Namespace:
    """A workspace whose pay page was paid, of which nothing was told yet."""
    shop.fake.pay(start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly"))
    return workspace


def post(body: bytes, signature: str | None) -> Any:
    """Send a webhook by hand."""
    headers = {} if signature is None else {"HTTP_STRIPE_SIGNATURE": signature}
    return APIClient().post(WEBHOOK, data=body, content_type="application/json", **headers)  # type: ignore[arg-type]


def sign(body: str, secret: str, *, age: int = 0) -> str:
    """A signature of so many seconds ago."""
    return str(stripe.WebhookSignature.generate_signature_header(body, secret, timestamp=int(time.time()) - age))


def test_an_event_is_stored_and_answered_before_anything_is_done(shop: Shop, paid: Namespace) -> None:
    asked = len(shop.fake.requests)
    assert set(shop.fake.webhooks.deliver()) == {200}
    assert len(shop.fake.requests) == asked, "the answer waits for nobody"
    assert (undone(), standing(paid)) == (StripeEvent.objects.count(), ("free", "ACTIVE"))
    assert act_on_events() == StripeEvent.objects.count()
    assert (undone(), standing(paid), credits_of(paid)) == (0, ("starter-monthly", "ACTIVE"), [2000])


def test_a_worker_is_asked_once_an_event_is_committed(
    shop: Shop, paid: Namespace, hints: list[str], django_capture_on_commit_callbacks: Any
) -> None:
    hints.clear()
    with django_capture_on_commit_callbacks(execute=True):
        shop.fake.webhooks.deliver()
    assert set(hints) == {"billing.stripe.act_on_events"}


def test_all_events_of_a_customer_are_one_question(shop: Shop, paid: Namespace) -> None:
    shop.fake.webhooks.deliver()
    asked = len(shop.fake.requests)
    act_on_events()
    assert [(one.method, one.path) for one in shop.fake.requests[asked:]] == [
        ("GET", f"/v1/customers/{customer(paid)}"),
        ("GET", "/v1/subscriptions"),
        ("GET", "/v1/invoices"),
    ]


def test_a_wrong_secret_an_old_signature_and_none_are_refused_and_nothing_is_stored(shop: Shop, paid: Namespace) -> None:
    event = shop.fake.webhooks.waiting[0]
    body, secret = json.dumps(event), shop.fake.webhooks.secret
    wrong = [
        sign(body, "whsec_other"),
        sign(body, secret, age=301),
        sign(body + " ", secret),
        None,
        "",
        "t=,v1=",
        "t=1,v1=é",
        f"t={int(time.time())},v1=é",
        f"t={int(time.time())}",
        sign(body, secret).replace("v1", "v0"),
    ]
    for signature in wrong:
        answer = post(body.encode(), signature)
        assert (answer.status_code, answer.json()["code"]) == (400, "wrong_signature"), signature
    assert not StripeEvent.objects.exists()
    assert post(body.encode(), sign(body, secret, age=290)).status_code == 200


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", '{"id": 1}', '{"id": "evt", "type": "x", "created": 1, "data": {"object": []}}'])
def test_a_signed_body_that_is_no_event_is_refused(shop: Shop, body: str) -> None:
    assert post(body.encode(), sign(body, shop.fake.webhooks.secret)).status_code == 400
    assert not StripeEvent.objects.exists()


def test_bytes_that_are_no_text_are_refused(shop: Shop) -> None:
    assert post(b"\xff\xfe", "t=1,v1=1").status_code == 400


def test_a_body_that_is_too_large_or_no_json_is_refused(shop: Shop) -> None:
    large = " " * (MOST_SIGNED_BYTES + 1)
    assert post(large.encode(), sign(large, shop.fake.webhooks.secret)).status_code == 413
    form = APIClient().post(WEBHOOK, {"id": "evt_1"}, format="multipart", HTTP_IDEMPOTENCY_KEY="0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11")
    assert form.status_code == 415
    assert not StripeEvent.objects.exists()


def test_the_same_event_again_answers_and_does_nothing(shop: Shop, paid: Namespace) -> None:
    shop.deliver()
    done = list(StripeEvent.objects.order_by("pk").values_list("pk", "done_at"))
    asked = len(shop.fake.requests)
    shop.fake.webhooks.replay()
    assert set(shop.deliver()) == {200}
    assert list(StripeEvent.objects.order_by("pk").values_list("pk", "done_at")) == done
    assert len(shop.fake.requests) == asked


def test_events_that_change_nothing_here_are_not_kept(shop: Shop) -> None:
    shop.fake.account.lock.acquire()
    shop.fake.account.lock.release()
    Plan.objects.filter(code="pro-monthly").update(price_cents=1)
    sync_plans()
    assert {event["type"] for event in shop.fake.webhooks.waiting} == {"price.created", "price.updated"}
    assert set(shop.deliver()) == {200}
    assert not StripeEvent.objects.exists()


def test_events_of_customers_of_another_installation_are_left_alone(shop: Shop, paid: Namespace) -> None:
    shop.fake.webhooks.deliver()
    StripeEvent.objects.update(customer="cus_other")
    asked = len(shop.fake.requests)
    act_on_events()
    assert (undone(), standing(paid), len(shop.fake.requests)) == (0, ("free", "ACTIVE"), asked)
    assert set(StripeEvent.objects.values_list("error", flat=True)) == {"No wallet has this customer."}


def test_events_that_fail_are_tried_again_later_each_time(shop: Shop, paid: Namespace) -> None:
    shop.fake.webhooks.deliver()
    waits = []
    for _ in range(3):
        shop.fake.faults.fail("GET", "/v1/customers/.*", status=500)
        assert act_on_events() == 0
        event = StripeEvent.objects.order_by("pk")[0]
        assert event.next_try_at is not None
        waits.append(event.next_try_at.timestamp() - shop.fake.account.now)
        assert act_on_events() == 0, "not yet"
        shop.fake.advance(hours=waits[-1] / 3600)
    assert waits == [30, 60, 120]
    assert event.error == "payments_unavailable"
    assert act_on_events() == StripeEvent.objects.count()
    assert credits_of(paid) == [2000]


def test_what_a_worker_that_died_had_is_taken_by_another_one(shop: Shop, paid: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.fake.webhooks.deliver()

    def die(_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(events, "sync_wallet", die)
        with pytest.raises(KeyboardInterrupt):
            act_on_events()
    assert act_on_events() == 0, "it may still be at work"
    shop.fake.advance(hours=events.LEASE / timedelta(hours=1))
    assert act_on_events() == StripeEvent.objects.count()
    assert credits_of(paid) == [2000]


def test_a_fault_of_ours_is_written_down_and_tried_again(shop: Shop, paid: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.fake.webhooks.deliver()
    with monkeypatch.context() as patch:
        patch.setattr(applying, "grant_plan", lambda **_: 1 / 0)
        assert act_on_events() == 0
    assert "ZeroDivisionError" in StripeEvent.objects.values_list("error", flat=True)[0]
    assert (standing(paid), credits_of(paid)) == (("free", "ACTIVE"), []), "all or nothing"
    shop.fake.advance(hours=1)
    act_on_events()
    assert (standing(paid), credits_of(paid)) == (("starter-monthly", "ACTIVE"), [2000])


def test_without_keys_webhooks_are_refused(db: None, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = settings.STRIPE_WEBHOOK_SECRET = ""
    answer = post(b"{}", sign("{}", "whsec_x"))
    assert (answer.status_code, answer.json()["code"]) == (409, "payments_not_configured")
    assert not StripeEvent.objects.exists()
