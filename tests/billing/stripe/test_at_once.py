"""Several at once: webhooks in many workers, people who press twice. Real commits, a connection each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from billing.models import StripeEvent
from billing.stripe.applying import sync_wallet
from billing.stripe.buying import start_checkout
from billing.stripe.changes import change_plan
from billing.stripe.events import act_on_events
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import Shop, credits_of, standing, undone, wallet

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Do all of it in threads that begin together; what is raised is returned."""
    start = Barrier(len(acts))

    def run(act: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_many_workers_grant_a_period_once(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.fake.pay(start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly"))
    mine = wallet(workspace).pk
    shop.fake.webhooks.deliver()
    found = at_once(*[act_on_events] * 3, *[lambda: sync_wallet(mine)] * 3)
    assert not [one for one in found if isinstance(one, Exception)]
    assert (standing(workspace), credits_of(workspace), undone()) == (("starter-monthly", "ACTIVE"), [2000], 0)


def test_an_event_that_comes_twice_at_once_is_stored_once(shop: Shop, mei: User, workspace: Namespace) -> None:
    start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")
    event = next(event for event in shop.fake.webhooks.waiting if event["type"] == "customer.created")
    event = {**event, "type": "customer.deleted"}
    assert at_once(*[lambda: shop.fake.webhooks.post(event)] * 4) == [200] * 4
    assert StripeEvent.objects.count() == 1


def test_a_change_that_is_pressed_twice_is_paid_once(shop: Shop, mei: User, workspace: Namespace) -> None:
    shop.buy(mei, workspace)
    shop.advance(days=10)
    found = at_once(*[lambda: change_plan(actor=mei, namespace_id=workspace.pk, plan_code="pro-monthly")] * 3)
    assert not [one for one in found if isinstance(one, Exception)]
    assert sorted(invoice["amount_paid"] for invoice in shop.fake.account.all("invoice")) == [1990, 79_990]
    assert credits_of(workspace) == [2000, 80_000]


def test_two_checkouts_at_once_make_one_customer(shop: Shop, mei: User, workspace: Namespace) -> None:
    found = at_once(*[lambda: start_checkout(actor=mei, namespace_id=workspace.pk, plan_code="starter-monthly")] * 2)
    assert not [one for one in found if isinstance(one, Exception)]
    assert len(shop.fake.account.all("customer")) == 1
