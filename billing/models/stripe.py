"""What Stripe told: its events, each once, and its invoices; and how far a wallet follows it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.wallet import Wallet
from controlplane.common.models import BaseModel


class StripeEvent(models.Model):
    """A webhook event by Stripe's id, stored before it is acted on. `error` is what went wrong at the last of `attempts`."""

    id = models.CharField(max_length=64, primary_key=True)
    type = models.CharField(max_length=80)
    customer = models.CharField(max_length=64, blank=True, default="")
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(auto_now_add=True)
    done_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "Stripe event"
        indexes = [models.Index(fields=["next_try_at"], name="stripe_event_to_do", condition=Q(done_at=None))]

    def __str__(self) -> str:
        return f"{self.id} {self.type}"


class StripeSync(models.Model):
    """How a wallet follows Stripe. `asked` counts the questions that were begun, `applied` is the last one whose answer was applied: an answer that is
    older is discarded. `declines` counts payments of plan changes that were refused: the next attempt is another request to Stripe.
    """

    wallet = models.OneToOneField(Wallet, on_delete=models.PROTECT, primary_key=True, related_name="stripe_sync")
    asked = models.BigIntegerField(default=0, db_default=0)
    applied = models.BigIntegerField(default=0, db_default=0)
    declines = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        verbose_name = "way of a wallet with Stripe"

    def __str__(self) -> str:
        return f"{self.wallet_id}: {self.applied} of {self.asked}"


class Invoice(BaseModel):
    """An invoice of Stripe's, as it was last seen; amounts in hundredths of `currency`. `lines` are description, amount, period start and end."""

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="invoices")
    stripe_id = models.CharField(max_length=64, unique=True)
    number = models.CharField(max_length=64, blank=True, default="")
    status = models.CharField(max_length=16)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    issued_at = models.DateTimeField()
    paid_at = models.DateTimeField(null=True)
    lines = models.JSONField(default=list)
    hosted_url = models.CharField(max_length=1000, blank=True, default="")
    pdf_url = models.CharField(max_length=1000, blank=True, default="")

    class Meta:
        verbose_name = "invoice"
        indexes = [models.Index(fields=["wallet", "issued_at"], name="invoice_of_wallet")]

    def __str__(self) -> str:
        return self.number or self.stripe_id
