"""The ledger: grants, entries and their postings, and sums that follow from them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import F, Q

from billing.models.plan import Price
from billing.models.wallet import Wallet
from controlplane.common.models import BaseModel

# PostgreSQL's infinity is no datetime of Python.
FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)


class Unit(models.IntegerChoices):
    """What a grant and its postings count: micro-credits, or free serverless runs."""

    MICRO_CREDIT = 1, "micro-credits"
    HIT = 2, "hits"


class GrantSource(models.TextChoices):
    """Where credits come from."""

    PLAN = "PLAN"
    OPERATOR = "OPERATOR"
    CORRECTION = "CORRECTION"


class Grant(BaseModel):
    """Credits (or hits, see `unit`) that a wallet got: spendable from `starts_at` until just before `expires_at`, both full minutes of UTC.

    `spent` never goes down: what was charged wrongly comes back as another grant. `key` makes it once. Written by billing/grants.py and the
    charging statement alone.
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="grants", db_index=False)
    unit = models.PositiveSmallIntegerField(choices=Unit, default=Unit.MICRO_CREDIT)
    source = models.CharField(max_length=12, choices=GrantSource)
    key = models.CharField(max_length=200, unique=True)
    amount = models.BigIntegerField()
    spent = models.BigIntegerField(default=0)
    starts_at = models.DateTimeField()
    expires_at = models.DateTimeField(default=FOR_EVER)
    reason = models.CharField(max_length=500, blank=True, default="")
    plan_code = models.CharField(max_length=40, blank=True, default="")

    class Meta:
        verbose_name = "grant"
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="grant_positive"),
            models.CheckConstraint(condition=Q(spent__gte=0, spent__lte=F("amount")), name="grant_not_overspent"),
            models.CheckConstraint(condition=Q(expires_at__gt=F("starts_at")), name="grant_has_time"),
        ]
        indexes = [
            # None of them depends on `spent`: so a charge changes no index, which is most of what it would cost.
            models.Index(fields=["wallet", "expires_at", "id"], name="grant_by_expiry"),
            models.Index(fields=["expires_at"], name="grant_expiring"),
            models.Index(fields=["starts_at"], name="grant_starting"),
            models.Index(fields=["wallet"], name="grant_of_hits", condition=Q(unit=2)),
            models.Index(fields=["wallet", "id"], name="grant_of_wallet"),
        ]


class EntryKind(models.TextChoices):
    """What an entry of the ledger is."""

    GRANT = "GRANT"
    CHARGE = "CHARGE"
    TAKE_BACK = "TAKE_BACK"


class LedgerEntry(models.Model):
    """One thing that happened to a wallet's credits, once (`key`); its postings say what went from where to where. Append-only.

    Of a charge: `deployment_id` used `quantity` milliseconds or seconds (the price's unit) of `price` from `from_at` to `to_at`; `amount`
    is price times quantity, in micro-credits (or hits, see the postings). `reverses` is the entry that a correction gives back.
    """

    id = models.BigAutoField(primary_key=True)
    # Written under the wallet's lock, and neither wallets nor prices are ever deleted: constraints would cost a third of the speed.
    wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, related_name="entries", db_index=False)
    kind = models.CharField(max_length=10, choices=EntryKind)
    key = models.CharField(max_length=200)
    booked_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=models.functions.Now())
    amount = models.BigIntegerField()
    deployment_id = models.UUIDField(null=True)
    price = models.ForeignKey(Price, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="+", db_index=False)
    quantity = models.BigIntegerField(null=True)
    from_at = models.DateTimeField(null=True)
    to_at = models.DateTimeField(null=True)
    reverses = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="reversed_by")
    actor_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, blank=True, default="", db_default="")

    class Meta:
        verbose_name = "ledger entry"
        # As a constraint, the key has one index; as a unique field, it would have another one for LIKE that nobody asks.
        constraints = [models.UniqueConstraint(fields=["key"], name="entry_once")]
        indexes = [
            # Bills are counted without a look at their millions of rows.
            models.Index(fields=["wallet", "booked_at", "id"], name="charge_of_wallet", condition=Q(kind="CHARGE")),
            # The few others.
            models.Index(fields=["wallet", "booked_at", "id"], name="entry_beside_charges", condition=~Q(kind="CHARGE")),
            models.Index(fields=["deployment_id", "booked_at"], name="entry_of_deployment", condition=Q(deployment_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Account(models.IntegerChoices):
    """Where amounts lie. A posting takes from one and adds to another, so all of them together are always zero."""

    CREDITS = 1, "credits of the wallet"
    REVENUE = 2, "spent"
    ISSUED = 3, "given out"
    BREAKAGE = 4, "expired"
    WRITE_OFF = 5, "borne by the platform"


class Posting(models.Model):
    """A transfer of `amount` > 0 from `source` to `target` at `booked_at`: it sums to zero by construction. Append-only.

    Expiry is booked with it: at `expires_at` what is left of a grant goes from CREDITS to BREAKAGE, which the pair of the grant's posting
    (-amount) and its charges (+amount) says without a row of its own. billing_leg, a view, shows all four.
    """

    id = models.BigAutoField(primary_key=True)
    # A constraint would keep the plan of a table that was empty when the session began: seconds for each batch.
    entry = models.ForeignKey(LedgerEntry, on_delete=models.DO_NOTHING, db_constraint=False, related_name="postings")
    wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, related_name="postings", db_index=False)
    unit = models.PositiveSmallIntegerField(choices=Unit, default=Unit.MICRO_CREDIT, db_default=1)
    source = models.PositiveSmallIntegerField(choices=Account)
    target = models.PositiveSmallIntegerField(choices=Account)
    grant = models.ForeignKey(Grant, on_delete=models.DO_NOTHING, db_constraint=False, null=True, related_name="postings", db_index=False)
    amount = models.BigIntegerField()
    booked_at = models.DateTimeField()
    expires_at = models.DateTimeField(default=FOR_EVER)

    class Meta:
        verbose_name = "posting"
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="posting_positive"),
            models.CheckConstraint(condition=~Q(source=F("target")), name="posting_moves"),
        ]
        indexes = [
            models.Index(
                fields=["wallet", "booked_at"],
                include=["expires_at", "source", "target", "amount", "unit"],
                name="posting_of_wallet",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.get_source_display()} → {self.get_target_display()}"


class HourlySpend(models.Model):
    """What was taken from a grant in an hour of UTC. Follows from the postings; makes the balance of any moment quick."""

    pk = models.CompositePrimaryKey("grant", "hour")
    grant = models.ForeignKey(Grant, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="hours")
    hour = models.DateTimeField()
    amount = models.BigIntegerField()

    class Meta:
        verbose_name = "hourly spend"

    def __str__(self) -> str:
        return f"{self.grant_id} {self.hour} {self.amount}"


class DailySpend(models.Model):
    """What a deployment was charged for a price on a day of UTC: `amount` micro-credits, of which `written_off` no grant covered. Follows from the
    entries; bills, exports and spend caps read it."""

    pk = models.CompositePrimaryKey("wallet", "deployment_id", "price", "day")
    wallet = models.ForeignKey(Wallet, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="days")
    deployment_id = models.UUIDField()
    price = models.ForeignKey(Price, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    day = models.DateField()
    quantity = models.BigIntegerField()
    amount = models.BigIntegerField()
    written_off = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "daily spend"
        indexes = [models.Index(fields=["deployment_id", "day"], name="daily_spend_of_deployment")]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.day} {self.amount}"
