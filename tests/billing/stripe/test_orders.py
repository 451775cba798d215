"""Webhooks in any order, doubled, lost and replayed: the credits are the same in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from billing.stripe.changes import cancel_subscription, change_plan, reactivate_subscription
from billing.stripe.reconcile import reconcile
from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace
from tests.billing.stripe.shop import Shop, customer, everything, undone

Way = Callable[[Shop, random.Random], None]


def in_order(shop: Shop, chance: random.Random) -> None:
    """Each event at once."""
    shop.deliver()


def shuffled(shop: Shop, chance: random.Random) -> None:
    """In any order, some of them doubled."""
    shop.fake.webhooks.duplicate(chance)
    shop.fake.webhooks.shuffle(chance)
    shop.deliver()


def late(shop: Shop, chance: random.Random) -> None:
    """Now and then, all that has gathered, mixed."""
    if chance.random() < 0.3:
        shuffled(shop, chance)


def lossy(shop: Shop, chance: random.Random) -> None:
    """Half of them never."""
    shop.fake.webhooks.drop(lambda _: chance.random() < 0.5)
    shuffled(shop, chance)


def replayed(shop: Shop, chance: random.Random) -> None:
    """All that ever was, again each time."""
    shop.fake.webhooks.replay(lambda _: chance.random() < 0.1)
    shuffled(shop, chance)


def lost(shop: Shop, chance: random.Random) -> None:
    """None at all."""
    shop.fake.webhooks.drop()


def live(shop: Shop, actor: User, workspace: Namespace, way: Way, chance: random.Random) -> dict[str, Any]:
    """A year of a customer: months, a change, a failed card, a cancellation that is taken back, a yearly plan, the end."""

    def pass_days(days: int) -> None:
        for _ in range(max(1, days // 20)):
            shop.fake.advance(days=min(days, 20))
            way(shop, chance)

    shop.buy(actor, workspace)
    pass_days(40)
    change_plan(actor=actor, namespace_id=workspace.pk, plan_code="basic-monthly")
    way(shop, chance)
    pass_days(20)
    shop.fake.let_card_fail(customer(workspace))
    pass_days(15)
    shop.fake.let_card_fail(customer(workspace), failing=False)
    pass_days(15)
    cancel_subscription(actor=actor, namespace_id=workspace.pk)
    pass_days(5)
    reactivate_subscription(actor=actor, namespace_id=workspace.pk)
    pass_days(30)
    change_plan(actor=actor, namespace_id=workspace.pk, plan_code="starter-yearly")
    pass_days(100)
    cancel_subscription(actor=actor, namespace_id=workspace.pk)
    pass_days(300)
    shop.deliver()
    return everything(workspace)


@pytest.mark.parametrize("way", [in_order, shuffled, late, lossy, replayed, lost], ids=lambda way: way.__name__)
def test_a_year_ends_in_the_same_credits_whatever_became_of_the_webhooks(shop: Shop, mei: User, workspace: Namespace, way: Way) -> None:
    found = live(shop, mei, workspace, way, random.Random(way.__name__))
    reconcile()
    found = everything(workspace)
    plans = [plan for plan, _, _, _ in found["grants"]]
    assert plans == ["starter-monthly"] * 2 + ["basic-monthly"] * 3 + ["starter-yearly"]
    assert found["standing"] == ("free", "ACTIVE")
    assert {status for _, status, _ in found["invoices"]} == {"paid"}
    assert (found["live"], undone()) == (1, 0)
    starts = [start for _, _, start, _ in found["grants"]]
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("seed", range(3))
def test_a_replay_of_everything_changes_nothing(shop: Shop, mei: User, workspace: Namespace, seed: int) -> None:
    shop.buy(mei, workspace)
    shop.advance(days=100)
    before = everything(workspace)
    shop.fake.webhooks.replay()
    shuffled(shop, random.Random(seed))
    assert reconcile().repaired == 0
    assert everything(workspace) == before
