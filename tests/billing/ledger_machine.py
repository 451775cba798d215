"""A machine that does to wallets what may happen to them, in any order, beside a model that counts with loops and lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from billing.balances import balance_at, balance_from_postings, standing_of
from billing.errors import NoCredits
from billing.funding import review_times
from billing.grants import correct_charge, grant_credits, take_back
from billing.holds import place_hold, release_hold
from billing.metering import meter, note_instance, register_instance
from billing.models import BilledDeployment, Grant, GrantSource, Hold, LedgerEntry, MeteredResource, Posting, Wallet
from billing.models.ledger import FOR_EVER
from billing.plans import plan_by_code
from billing.prices import price_ids
from billing.subscriptions import begin_subscription, renew_due
from billing.wallets import open_wallet
from controlplane.common import clock
from controlplane.common.errors import Conflict, InvalidInput
from controlplane.common.ids import uuid7
from deployments.offers import find_product
from deployments.reports import Report
from deployments.usage import write

BEGIN = datetime(2026, 1, 31, 10, 0, tzinfo=UTC)
RUNS, INSTANCE = "AWS SERVERLESS S", "AWS CLUSTER XS"
AMOUNTS = st.sampled_from([1, 829, 5 * 829, 4770, 10 * 4770, 10**6, 10**8])
# Small domains find what wide ranges miss: moments that fall together.
MINUTES = st.sampled_from([-1500, -61, -60, -59, -5, -1, 0, 1, 60])
LASTS = st.sampled_from([1, 5, 60, 61, 1440, None])
STEPS = st.sampled_from([0.4, 1, 59, 60, 61, 299, 3600, 86_400, 31 * 86_400])
FIRST_TWO = st.integers(0, 1)


@dataclass
class Modelled:
    """A grant as the model knows it."""

    pk: UUID
    start: datetime
    end: datetime
    amount: int
    taken: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.amount - sum(amount for _, amount in self.taken)


class LedgerMachine(RuleBasedStateMachine):
    """Two wallets with a serverless deployment each, and instances that come and go."""

    reports = Bundle("reports")
    instances = Bundle("instances")

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.now = BEGIN
        clock.now = lambda: self.now
        self.wallets = [open_wallet(uuid4(), is_personal=True).pk, open_wallet(uuid4(), is_personal=False).pk]
        self.deployments = [uuid4() for _ in self.wallets]
        self.grants: list[list[Modelled]] = [[], []]
        self.charged = [0, 0]
        self.known: set[str] = set()
        self.keys: list[str] = []
        for wallet, deployment in zip(self.wallets, self.deployments, strict=True):
            BilledDeployment.objects.create(deployment_id=deployment, wallet_id=wallet, project_id=uuid4(), label="a/b", offer=RUNS)
        self.learn()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undone.__exit__(None, None, None)

    def learn(self) -> None:
        """Take over grants that the product made by itself, and check that none vanished."""
        for number, wallet in enumerate(self.wallets):
            rows = {row.pk: row for row in Grant.objects.filter(wallet=wallet)}
            for known in self.grants[number]:
                assert known.pk in rows
            ids = {known.pk for known in self.grants[number]}
            self.grants[number] += [
                Modelled(row.pk, row.starts_at, row.expires_at, row.amount) for row in rows.values() if row.pk not in ids
            ]

    def spend(self, number: int, moment: datetime, amount: int) -> None:
        """Take an amount from the model's grants: of those valid then the one that expires first."""
        self.charged[number] += amount
        for grant in sorted(self.grants[number], key=lambda one: (one.end, one.pk)):
            part = min(amount, grant.left) if grant.start <= moment < grant.end else 0
            if part:
                grant.taken.append((moment, part))
                amount -= part

    @rule(number=FIRST_TWO, amount=AMOUNTS, start=MINUTES, lasts=LASTS, again=st.booleans())
    def grant(self, number: int, amount: int, start: int, lasts: int | None, again: bool) -> None:
        begins = self.now + timedelta(minutes=start)
        ends = FOR_EVER if lasts is None else begins + timedelta(minutes=lasts)
        key = str(uuid4())
        for _ in range(2 if again else 1):
            grant_credits(
                wallet_id=self.wallets[number], amount=amount, key=key, source=GrantSource.OPERATOR, starts_at=begins, expires_at=ends
            )
        self.learn()

    @rule(
        target=reports,
        batch=st.lists(
            st.tuples(FIRST_TWO, MINUTES.filter(lambda minute: minute <= 1), st.sampled_from([0, 1, 7, 1000])), min_size=1, max_size=6
        ),
    )
    def run(self, batch: list[tuple[int, int, int]]) -> list[Report]:
        """Runs are reported, some of them late."""
        made = [self.report(number, self.now + timedelta(minutes=minute), duration) for number, minute, duration in batch]
        self.send(made)
        return made

    @rule(former=reports)
    def report_again(self, former: list[Report]) -> None:
        self.send([*former, former[0]])

    @rule(number=FIRST_TWO, duration=st.sampled_from([6, 100]))
    def one_run_costs_what_split_runs_cost(self, number: int, duration: int) -> None:
        before = self.charged[number]
        self.send([self.report(number, self.now, duration)])
        once = self.charged[number] - before
        self.send([self.report(number, self.now, duration // 2) for _ in range(2)])
        assert self.charged[number] - before == 2 * once

    def report(self, number: int, at: datetime, duration: int) -> Report:
        ids = [str(uuid7()), str(self.deployments[number]), *[str(self.deployments[number])] * 3]
        return Report(*ids, RUNS, "SUCCESS", duration, int(at.timestamp() * 1000), duration * rate(RUNS), None, False)  # type: ignore[arg-type, call-arg]

    def send(self, reports: list[Report]) -> None:
        fields: dict[bytes, bytes] = {}
        write([(report, (b"1-0", fields)) for report in reports], [])
        new = list({report.run: report for report in reports if report.run not in self.known}.values())
        self.known |= {report.run for report in new}
        minutes: dict[tuple[int, datetime], int] = {}
        for report in new:
            minute = report.ended_at.replace(second=0, microsecond=0)
            place = (self.deployments.index(UUID(report.deployment_id)), minute)
            minutes[place] = minutes.get(place, 0) + report.micro_credits
        for (number, minute), amount in sorted(minutes.items(), key=lambda item: item[0]):
            self.spend(number, minute, amount)

    @rule(target=instances, number=FIRST_TWO)
    def start_instance(self, number: int) -> UUID:
        pk = uuid7()
        offer = find_product(INSTANCE)
        assert offer is not None
        price = price_ids([(INSTANCE, offer.price)])[INSTANCE, offer.price]
        register_instance(resource_id=pk, wallet_id=self.wallets[number], deployment_id=uuid4(), price_id=price)
        note_instance(pk, started_at=self.now, billable=True)
        return pk

    @rule(pk=instances, how=st.sampled_from(["stop", "end", "fail"]))
    def end_instance(self, pk: UUID, how: str) -> None:
        if how == "fail":
            note_instance(pk, ending_at=self.now, cut_off=True)
        note_instance(pk, ending_at=self.now, stopped_at=self.now if how == "stop" else None)

    @rule(times=st.integers(1, 3))
    def meter(self, times: int) -> None:
        before = set(LedgerEntry.objects.filter(key__startswith="instance:").values_list("pk", flat=True))
        for _ in range(times):
            meter()
        entries = LedgerEntry.objects.filter(key__startswith="instance:").exclude(pk__in=before).order_by("from_at", "pk")
        for entry in entries:
            assert entry.from_at is not None
            self.spend(self.wallets.index(entry.wallet_id), entry.from_at, entry.amount)

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        review_times()

    @rule(number=FIRST_TWO, plan=st.sampled_from(["free", "starter-monthly", "pro-yearly", "custom"]))
    def change_plan(self, number: int, plan: str) -> None:
        before = {known.pk: known.left for known in self.grants[number]}
        begin_subscription(wallet=Wallet.objects.get(pk=self.wallets[number]), plan=plan_by_code(plan))
        self.learn()
        for known in self.grants[number]:
            assert before.get(known.pk, known.left) == known.left

    @rule()
    def renew(self) -> None:
        renew_due()
        self.learn()
        assert renew_due() == 0

    @rule(number=FIRST_TWO, amount=AMOUNTS)
    def hold(self, number: int, amount: int) -> None:
        available = standing_of(self.wallets[number]).available
        key = str(uuid4())
        asked: Any = {"wallet_id": self.wallets[number], "resource": key, "deployment_id": uuid4(), "amount": amount}
        if available >= amount:
            place_hold(**asked)
            self.keys.append(key)
            return
        with pytest.raises(NoCredits) as refusal:
            place_hold(**asked)
        assert (refusal.value.fields or {})["missing"] == amount - max(0, available)
        assert not Hold.objects.filter(resource=key).exists()

    @rule()
    def release(self) -> None:
        for key in self.keys[:1]:
            assert release_hold(key)
            assert not release_hold(key)
        del self.keys[:1]

    @rule(number=FIRST_TWO, share=st.sampled_from([1, 2]))
    def take_a_grant_back(self, number: int, share: int) -> None:
        for known in self.grants[number][:1]:
            amount = known.left // share
            try:
                entry = take_back(grant_id=known.pk, amount=amount, key=str(uuid4()), reason="by mistake")
            except (Conflict, InvalidInput):
                continue
            known.taken.append((entry.booked_at, amount))

    @rule(number=FIRST_TWO)
    def correct(self, number: int) -> None:
        paid = Posting.objects.filter(wallet_id=self.wallets[number], source=1, target=2, entry__reversed_by=None).order_by("pk").first()
        if paid is None:
            return
        correct_charge(entry_id=paid.entry_id, amount=paid.amount, reason="too slow")
        self.learn()

    @invariant()
    def entries_sum_to_zero(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sum(amount) FROM billing_leg GROUP BY unit, entry_id HAVING sum(amount) <> 0")
            assert cursor.fetchall() == []

    @invariant()
    def grants_are_spent_as_the_model_says(self) -> None:
        for number, wallet in enumerate(self.wallets):
            rows = dict(Grant.objects.filter(wallet=wallet).values_list("pk", "spent"))
            assert rows == {known.pk: known.amount - known.left for known in self.grants[number]}

    @invariant()
    def a_month_of_a_free_plan_is_given_once(self) -> None:
        for wallet in self.wallets:
            given = list(Grant.objects.filter(wallet=wallet, plan_code="free").order_by("starts_at").values_list("starts_at", "expires_at"))
            assert all(end <= start for (_, end), (start, _) in pairwise(given))

    @invariant()
    def all_that_was_used_is_charged_once(self) -> None:
        for number, wallet in enumerate(self.wallets):
            amounts = LedgerEntry.objects.filter(wallet=wallet, kind="CHARGE").values_list("amount", flat=True)
            postings = Posting.objects.filter(wallet=wallet, target=2).values_list("amount", flat=True)
            assert sum(amounts) == sum(postings) == self.charged[number]

    @invariant()
    def seconds_are_charged_up_to_where_instances_say(self) -> None:
        for one in MeteredResource.objects.exclude(billed_until=None):
            entries = LedgerEntry.objects.filter(key__endswith=f":{one.pk}").values_list("quantity", flat=True)
            assert one.billed_until is not None
            assert one.started_at is not None
            assert sum(quantity or 0 for quantity in entries) == (one.billed_until - one.started_at) // timedelta(seconds=1)

    @invariant()
    def balances_are_sums_at_any_time_and_never_negative(self) -> None:
        for number, wallet in enumerate(self.wallets):
            for moment in (
                self.now - timedelta(days=1),
                self.now - timedelta(minutes=59, seconds=30),
                self.now,
                self.now + timedelta(days=40),
            ):
                expected = sum(
                    known.amount - sum(amount for at, amount in known.taken if at <= moment)
                    for known in self.grants[number]
                    if known.start <= moment < known.end
                )
                assert balance_at(wallet, moment) == balance_from_postings(wallet, moment) == expected >= 0
            held = sum(Hold.objects.filter(wallet=wallet, released_at=None).values_list("amount", flat=True))
            found = standing_of(wallet)
            left = sum(known.left for known in self.grants[number] if known.start <= self.now < known.end)
            assert (found.balance, found.held) == (left, held)


def rate(product: str) -> int:
    """Return micro-credits a unit."""
    offer: Any = find_product(product)
    return int(offer.price.micro_credits)
