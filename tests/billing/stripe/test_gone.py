"""Payments for a workspace that is no more: whoever had a pay page open pays once at most, and never again."""

from __future__ import annotations

import logging

import pytest

from billing.models import Wallet
from billing.stripe.buying import start_checkout
from billing.stripe.changes import cancel_subscription
from controlplane.accounts.models import User
from controlplane.common.errors import Conflict
from controlplane.workspaces.models import Namespace, Organization
from controlplane.workspaces.services import delete_organization
from tests.billing.stripe.shop import Shop, undone


def test_who_pays_after_the_organization_was_deleted_is_not_charged_again(
    shop: Shop, mei: User, organization: Organization, root: Namespace, caplog: pytest.LogCaptureFixture
) -> None:
    page = start_checkout(actor=mei, namespace_id=root.pk, plan_code="starter-monthly")
    organization_id = organization.pk
    delete_organization(actor=mei, organization_id=organization_id)

    shop.fake.pay(page)
    with caplog.at_level(logging.ERROR):
        shop.deliver()

    assert [one["status"] for one in shop.fake.account.all("subscription")] == ["canceled"]
    assert "is deleted" in caplog.text
    shop.advance(days=40)
    assert len(shop.fake.account.all("invoice")) == 1
    wallet = Wallet.objects.get(workspace_id=organization_id)
    assert not wallet.subscriptions.exclude(status="ENDED").exists()
    assert undone() == 0


def test_an_organization_whose_subscription_ends_by_itself_can_be_deleted(
    shop: Shop, mei: User, organization: Organization, root: Namespace
) -> None:
    shop.buy(mei, root)
    with pytest.raises(Conflict):
        delete_organization(actor=mei, organization_id=organization.pk)
    cancel_subscription(actor=mei, namespace_id=root.pk)
    delete_organization(actor=mei, organization_id=organization.pk)
    shop.deliver()

    assert [one["status"] for one in shop.fake.account.all("subscription")] == ["active"]
    shop.advance(days=40)
    assert [one["status"] for one in shop.fake.account.all("subscription")] == ["canceled"]
    assert len(shop.fake.account.all("invoice")) == 1
