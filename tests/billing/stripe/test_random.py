"""Anything that people, time, cards, networks and webhooks do, in any order: in the end credits are what was paid, and plans what Stripe has."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from billing.models import Grant, GrantSource
from billing.pricing import MICRO_PER_CREDIT
from billing.stripe.buying import start_checkout
from billing.stripe.changes import cancel_subscription, change_plan, reactivate_subscription
from billing.stripe.events import act_on_events
from billing.stripe.reconcile import reconcile
from billing.subscriptions import renew_due
from controlplane.accounts.models import User
from controlplane.common.errors import SlipwayError
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import Shop, standing, undone, wallet
from tests.fakes.stripe.refusals import Refused

STEPS = 40
PLANS = {"starter-monthly": 2000, "basic-monthly": 10_000, "pro-yearly": 960_000}


class Life:
    """One workspace, and chance."""

    def __init__(self, shop: Shop, actor: User, workspace: Namespace, seed: int) -> None:
        self.shop, self.actor, self.workspace, self.chance = shop, actor, workspace, random.Random(seed)
        self.fake = shop.fake
        self.pages: list[str] = []

    def step(self) -> None:
        """Do something."""
        acts: list[Callable[[], Any]] = [
            self.check_out,
            self.check_out,
            self.pay,
            self.pay,
            self.pay,
            self.change,
            self.change,
            partial(cancel_subscription, actor=self.actor, namespace_id=self.workspace.pk),
            partial(reactivate_subscription, actor=self.actor, namespace_id=self.workspace.pk),
            self.pass_time,
            self.pass_time,
            self.break_something,
            self.turn_card,
            self.deliver,
            self.deliver,
            self.cancel_in_portal,
        ]
        with contextlib.suppress(SlipwayError, Refused):
            self.chance.choice(acts)()

    def check_out(self) -> None:
        self.pages.append(start_checkout(actor=self.actor, namespace_id=self.workspace.pk, plan_code=self.plan()))

    def plan(self) -> str:
        return self.chance.choice(list(PLANS))

    def pay(self) -> None:
        if self.pages:
            self.fake.pay(self.pages[-1] if self.chance.random() < 0.8 else self.chance.choice(self.pages))

    def change(self) -> None:
        change_plan(actor=self.actor, namespace_id=self.workspace.pk, plan_code=self.plan())

    def pass_time(self) -> None:
        self.fake.advance(days=self.chance.choice([0.01, 1, 10, 31]))
        renew_due()

    def break_something(self) -> None:
        method, path = self.chance.choice(
            [("GET", r"/v1/.*"), ("POST", r"/v1/subscriptions/.*"), ("POST", r"/v1/.*"), ("DELETE", r"/v1/.*")]
        )
        after = self.chance.random() < 0.5
        if self.chance.random() < 0.5:
            self.fake.faults.close(method, path, after=after)
        else:
            self.fake.faults.fail(method, path, after=after)

    def turn_card(self) -> None:
        for customer in self.fake.account.all("customer"):
            self.fake.let_card_fail(customer["id"], failing=self.chance.random() < 0.4)

    def cancel_in_portal(self) -> None:
        for subscription in self.live():
            self.fake.cancel_in_portal(subscription["id"])

    def deliver(self) -> None:
        hooks = self.fake.webhooks
        hooks.drop(lambda _: self.chance.random() < 0.3)
        hooks.duplicate(self.chance)
        hooks.replay(lambda _: self.chance.random() < 0.1)
        hooks.shuffle(self.chance)
        hooks.deliver()
        act_on_events()

    def live(self) -> list[dict[str, Any]]:
        """What goes on at Stripe, the newest first."""
        return [one for one in self.fake.account.all("subscription") if one["status"] in ("active", "past_due")]

    def come_to_rest(self) -> None:
        """All faults are over, all events delivered or lost, and a day has passed."""
        self.fake.faults.planned.clear()
        for _ in range(2):
            self.deliver()
            self.fake.advance(hours=7)
            act_on_events()
            assert reconcile().failed == 0

    def paid(self) -> list[tuple[int, int]]:
        """Start and credits of each whole period that was paid at Stripe."""
        account = self.fake.account
        return sorted(
            (line["period"]["start"], PLANS[account.objects["price"][line["pricing"]["price_details"]["price"]]["lookup_key"]])
            for invoice in account.all("invoice")
            if invoice["status"] == "paid"
            for line in invoice["lines"]["data"]
        )


def granted(workspace: Namespace) -> list[tuple[int, int]]:
    """Start and credits of each grant of a paid plan."""
    rows = Grant.objects.filter(wallet=wallet(workspace), source=GrantSource.PLAN).exclude(plan_code="free")
    return sorted((int(row.starts_at.timestamp()), row.amount // MICRO_PER_CREDIT) for row in rows)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_credits_are_what_was_paid_and_the_plan_is_what_goes_on(
    shop: Shop, mei: User, workspace: Namespace, seed: int
) -> None:
    life = Life(shop, mei, workspace, seed)
    shop.buy(mei, workspace)
    for _ in range(STEPS):
        life.step()
    life.come_to_rest()

    # Grants begin at full minutes.
    assert granted(workspace) == sorted((start - start % 60, amount) for start, amount in life.paid())
    going_on = life.live()
    assert len(going_on) <= 1
    found = standing(workspace)
    assert found is not None
    assert found[0] == (going_on[0]["items"]["data"][0]["price"]["lookup_key"] if going_on else "free")
    assert undone() == 0
    starts = [row.starts_at for row in Grant.objects.filter(wallet=wallet(workspace), plan_code="free")]
    assert len({moment.astimezone(UTC).strftime("%Y-%m") for moment in starts}) == len(starts), "free credits once a month"
    assert all(moment <= datetime.fromtimestamp(shop.fake.account.now, UTC) for moment in starts)
