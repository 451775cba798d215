"""Shapes of payments on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.models import Invoice, Subscription, SubscriptionStatus
from controlplane.api.fields import TextField

LONGEST_URL = 2000
OWN = "An address of this service (on its public origin) to come back to; without it the settings page."
NEXT = {
    SubscriptionStatus.ACTIVE: "Nothing: the next period begins, and is paid, on current_period_end.",
    SubscriptionStatus.CANCELLING: "It ends on current_period_end and credits stay valid. Reactivate it before, if you want to keep it.",
    SubscriptionStatus.PAST_DUE: "A payment was refused: no credits come until it is paid. Change the payment method in the billing portal.",
    SubscriptionStatus.ENDED: "It is over. Start another one with a checkout.",
}


class PlanChoice(serializers.Serializer[Any]):
    """A plan to change to."""

    plan = TextField(max_length=40, help_text="Code of a plan that is offered.")


class CheckoutInput(PlanChoice):
    """A plan to buy, and where the pay page leads to."""

    success_url = TextField(max_length=LONGEST_URL, required=False, help_text=OWN)
    cancel_url = TextField(max_length=LONGEST_URL, required=False, help_text=OWN)


class PortalInput(serializers.Serializer[Any]):
    """Where the portal leads back to."""

    return_url = TextField(max_length=LONGEST_URL, required=False, help_text=OWN)


class PageOutput(serializers.Serializer[Any]):
    """A page of Stripe's to send the person to. It works for a while, for whoever has it."""

    url = serializers.URLField(read_only=True)


class SubscriptionOutput(serializers.ModelSerializer[Subscription]):
    """The subscription that is paid at Stripe."""

    plan = serializers.CharField(source="plan.code", read_only=True)
    name = serializers.CharField(source="plan.name", read_only=True)
    status = serializers.ChoiceField(choices=SubscriptionStatus.choices, read_only=True)
    next = serializers.SerializerMethodField(help_text="What there is to do.")

    class Meta:
        model = Subscription
        fields = ["plan", "name", "status", "current_period_end", "next"]

    def get_next(self, subscription: Subscription) -> str:
        """Return what there is to do."""
        return NEXT[SubscriptionStatus(subscription.status)]


class InvoiceLineOutput(serializers.Serializer[Any]):
    """A line of an invoice."""

    description = serializers.CharField()
    amount = serializers.IntegerField(help_text="In hundredths of the currency.")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class InvoiceOutput(serializers.ModelSerializer[Invoice]):
    """An invoice of Stripe's."""

    status = serializers.CharField(read_only=True, help_text="open, paid, void or uncollectible.")
    amount = serializers.IntegerField(read_only=True, help_text="In hundredths of the currency.")
    lines = InvoiceLineOutput(many=True, read_only=True)
    hosted_url = serializers.CharField(read_only=True, help_text="Stripe's page of it, where an open one is paid.")

    class Meta:
        model = Invoice
        fields = ["number", "status", "amount", "currency", "issued_at", "paid_at", "lines", "hosted_url", "pdf_url"]


class ReceiptOutput(serializers.Serializer[Any]):
    """What became of an event."""

    received = serializers.BooleanField(
        help_text="True for one that is stored and acted on; false for one that is known or changes nothing here."
    )
