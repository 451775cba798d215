"""Spend caps while others charge and set caps too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from django.db import connection

from billing.caps import reached_caps, set_cap, spent_of_caps
from billing.models import BilledDeployment, Notice, NoticeKind, SpendCap, Wallet
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common.errors import Conflict
from tests.billing.spending import CREDIT, make_billed, spend_credits
from tests.factories import make_user


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Call all at the same time; return what each returned or raised."""
    start, found = threading.Barrier(len(calls)), []

    def work(call: Callable[[], object]) -> None:
        start.wait(10)
        try:
            found.append(call())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def payer_of(user: User) -> Wallet:
    return wallet_of(user.namespaces.get(parent=None))


def test_of_several_who_set_the_same_cap_one_does(transactional_db: None, free_plan: None) -> None:
    user = make_user()
    wallet, root = payer_of(user), user.namespaces.get(parent=None)

    def ask() -> object:
        return set_cap(actor=user, namespace_id=root.pk, deployment_id=None, period="MONTH", amount=100 * CREDIT)

    found = at_once(*[ask] * 4)

    assert [type(one) for one in found if isinstance(one, Exception)] == [Conflict] * 3
    assert SpendCap.objects.get().wallet_id == wallet.pk


def test_many_who_charge_at_once_tell_each_share_once(transactional_db: None, free_plan: None) -> None:
    user = make_user()
    wallet, root = payer_of(user), user.namespaces.get(parent=None)
    cap = set_cap(actor=user, namespace_id=root.pk, deployment_id=None, period="TOTAL", amount=100 * CREDIT)
    deployments = [make_billed(wallet) for _ in range(4)]

    def spend(deployment: BilledDeployment) -> None:
        for _ in range(6):
            spend_credits(deployment, 5)

    at_once(*[partial(spend, one) for one in deployments])

    assert spent_of_caps([wallet.pk]) == {cap.pk: 120 * CREDIT}
    assert [one.pk for one in reached_caps(wallet.pk)] == [cap.pk]
    told = Notice.objects.filter(kind=NoticeKind.CAP).values_list("subject", flat=True)
    assert sorted(told) == [f"{share} % of a spend cap is used" for share in (100, 50, 80)]
