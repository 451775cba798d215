"""Shapes of the ledger on the wire. Amounts are whole micro-credits (millionths of a credit); `credits` are the same for people, exact."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.api.ledger_fields import BilledDeploymentOutput, ChargedPriceOutput, MomentField, PeriodQuery
from billing.models import EntryKind, Funding, GrantSource, SubscriptionStatus
from controlplane.api.fields import ChoiceField

Fields = dict[str, serializers.Field[Any, Any, Any, Any]]


class PlanOutput(serializers.Serializer[Any]):
    """The plan that a workspace is on."""

    code = serializers.CharField()
    name = serializers.CharField()
    status = ChoiceField(choices=SubscriptionStatus.values)
    next_credits_at = serializers.DateTimeField(allow_null=True, help_text="When the plan brings credits again; null if it does not.")
    next_credits = serializers.IntegerField(help_text="So many micro-credits then.")
    ends_at = serializers.DateTimeField(allow_null=True, help_text="When a cancelled plan ends.")


class SumsOutput(serializers.Serializer[Any]):
    """Sums in credits, exact, for people."""

    balance = serializers.CharField()
    held = serializers.CharField()
    available = serializers.CharField()


class FundingOutput(serializers.Serializer[Any]):
    """Whether the workspace can pay."""

    status = ChoiceField(choices=Funding.values)
    since = serializers.DateTimeField()
    grace_until = serializers.DateTimeField(allow_null=True, help_text="Until then instances go on without credits.")
    next = serializers.CharField(help_text="What comes next, and what to do.")


class BurnOutput(serializers.Serializer[Any]):
    """What the instances that run now cost, and how long the credits last if nothing changes. Runs of serverless endpoints come on top."""

    instances = serializers.IntegerField()
    micro_credits_an_hour = serializers.IntegerField()
    credits_an_hour = serializers.CharField()
    lasts_until = serializers.DateTimeField(
        allow_null=True,
        help_text="When the last credit is spent, with every grant until its end; null if nothing burns or nothing stops it.",
    )
    available_until = serializers.DateTimeField(
        allow_null=True,
        help_text="When only what is reserved is left: from then on serverless endpoints answer 402, and nothing new starts.",
    )


class PaymentsOutput(serializers.Serializer[Any]):
    """Whether plans can be paid here."""

    configured = serializers.BooleanField()
    detail = serializers.CharField()


class SummaryOutput(serializers.Serializer[Any]):
    """How a workspace stands."""

    workspace = serializers.UUIDField()
    plan = PlanOutput(allow_null=True)
    unmetered = serializers.BooleanField(help_text="The plan writes down what is used and stops nothing.")
    balance = serializers.IntegerField(help_text="What the valid grants have left.")
    held = serializers.IntegerField(help_text="What of it is reserved for instances.")
    available = serializers.IntegerField(help_text="Balance less held; below zero while what is reserved is used up.")
    hits = serializers.IntegerField(help_text="Serverless runs that are free.")
    in_credits = SumsOutput()
    funding = FundingOutput()
    burn = BurnOutput()
    payments = PaymentsOutput()


class BalanceQuery(serializers.Serializer[Any]):
    """A moment; now if it is left out."""

    at = MomentField(required=False)


class BalanceOutput(serializers.Serializer[Any]):
    """The balance at a moment."""

    at = serializers.DateTimeField()
    balance = serializers.IntegerField()
    credits = serializers.CharField()
    hits = serializers.IntegerField()
    future = serializers.BooleanField(help_text="It will be so if nothing is spent until then: only ends of grants are counted.")


class GrantsQuery(serializers.Serializer[Any]):
    """Which grants."""

    valid = serializers.BooleanField(required=False, allow_null=True, default=None)


class GrantSumsOutput(serializers.Serializer[Any]):
    """Sums of a grant in credits."""

    amount = serializers.CharField()
    spent = serializers.CharField()
    left = serializers.CharField()


class GrantOutput(serializers.Serializer[Any]):
    """Credits, or free runs, that came in."""

    id = serializers.UUIDField()
    unit = ChoiceField(choices=["micro-credits", "hits"])
    amount = serializers.IntegerField()
    spent = serializers.IntegerField()
    left = serializers.IntegerField()
    in_credits = GrantSumsOutput(allow_null=True)
    starts_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Null: never.")
    valid = serializers.BooleanField(help_text="It can be spent now.")
    source = ChoiceField(choices=GrantSource.values)  # type: ignore[assignment]
    plan = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class ChargesQuery(PeriodQuery):
    """Which charges, and whether line by line or summed by day."""

    by = ChoiceField(choices=["line", "day"], default="line")


class GrantUsedOutput(serializers.Serializer[Any]):
    """What a charge took of a grant."""

    grant = serializers.UUIDField()
    source = ChoiceField(choices=GrantSource.values)  # type: ignore[assignment]
    plan = serializers.CharField(allow_blank=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    micro_credits = serializers.IntegerField()
    hits = serializers.IntegerField()


class GivenBackOutput(serializers.Serializer[Any]):
    """The correction of a charge: a grant of its own."""

    entry = serializers.IntegerField()
    micro_credits = serializers.IntegerField()
    reason = serializers.CharField(allow_blank=True)


class ChargeOutput(serializers.Serializer[Any]):
    """A line of the bill; with `by=day` the sum of a deployment's lines of a price on a day of UTC."""

    entry = serializers.IntegerField(allow_null=True, help_text="Its id in the ledger; null for the sum of a day.")
    deployment = BilledDeploymentOutput(allow_null=True)
    price = ChargedPriceOutput(allow_null=True)
    quantity = serializers.IntegerField(help_text="Milliseconds or seconds, as the price's unit says.")
    to = serializers.DateTimeField()
    micro_credits = serializers.IntegerField()
    credits = serializers.CharField()
    hits = serializers.IntegerField(allow_null=True, help_text="Free runs that it took instead of credits.")
    grants = GrantUsedOutput(many=True, help_text="What it was taken from; for the sum of a day the lines tell.")
    written_off = serializers.IntegerField(help_text="Micro-credits of it that no grant covered, so that nobody pays them.")
    given_back = GivenBackOutput(allow_null=True)
    sum = serializers.CharField(help_text="How the amount comes about.")

    def get_fields(self) -> Fields:
        """Name the fields as the wire does: `from` is no Python name."""
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class EntriesQuery(serializers.Serializer[Any]):
    """Which entries."""

    kind = ChoiceField(choices=["GRANT", "CORRECTION", "TAKE_BACK"], required=False)


class EntryOutput(serializers.Serializer[Any]):
    """What came in, or was taken back."""

    entry = serializers.IntegerField()
    kind = ChoiceField(choices=[EntryKind.GRANT.value, "CORRECTION", EntryKind.TAKE_BACK.value])
    booked_at = serializers.DateTimeField(help_text="From when on it counts.")
    micro_credits = serializers.IntegerField(help_text="Below zero for what was taken back.")
    credits = serializers.CharField()
    hits = serializers.IntegerField()
    grant = serializers.UUIDField(allow_null=True)
    corrects = serializers.IntegerField(allow_null=True, help_text="The charge whose amount, or part of it, was given back.")
    reason = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
