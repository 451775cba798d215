"""Shapes of quotes on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from controlplane.api.fields import ChoiceField
from deployments.api.serializers import PriceOutput
from deployments.models.deployment import MOST_REPLICAS
from deployments.offers import FLAVOURS, PROVIDER_ALIASES, PROVIDERS, REGIONS, SIZES

MOST_RUN_MS = 24 * 3600 * 1000


class QuoteQuery(serializers.Serializer[Any]):
    """What would be deployed."""

    provider = ChoiceField(choices=[*PROVIDERS, *PROVIDER_ALIASES])
    region = ChoiceField(choices=REGIONS)
    flavour = ChoiceField(choices=FLAVOURS)
    size = ChoiceField(choices=SIZES, default="M")
    min_replicas = serializers.IntegerField(
        min_value=0, max_value=MOST_REPLICAS, required=False, help_text="What a new deployment begins with if left out."
    )
    run_ms = serializers.IntegerField(min_value=1, max_value=MOST_RUN_MS, default=1000, help_text="How long one run takes.")


class RefusalOutput(serializers.Serializer[Any]):
    """What stands in the way."""

    code = serializers.CharField(help_text="As the envelope would have it: no_credits, quota_reached, not_in_plan, spend_cap_reached.")
    detail = serializers.CharField()


class QuoteOutput(serializers.Serializer[Any]):
    """What a deployment would cost, whether it can start, and how long the credits would last. Sums are micro-credits."""

    provider = serializers.CharField()
    region = serializers.CharField()
    flavour = serializers.CharField()
    size = serializers.CharField()
    product = serializers.CharField(help_text="The name that it would be charged under.")
    backend = serializers.CharField()
    min_replicas = serializers.IntegerField()
    price = PriceOutput()
    micro_credits_an_hour = serializers.IntegerField(help_text="Of all `min_replicas` instances; 0 where execution is paid.")
    credits_an_hour = serializers.CharField()
    run_ms = serializers.IntegerField()
    micro_credits_a_thousand_runs = serializers.IntegerField(help_text="1,000 runs of `run_ms`; 0 where instances are paid.")
    credits_a_thousand_runs = serializers.CharField()
    reserved = serializers.IntegerField(help_text="What is set aside when it starts: 15 minutes of its instances.")
    available = serializers.IntegerField()
    missing = serializers.IntegerField(help_text="So much more is needed to start it.")
    plan = serializers.CharField(allow_null=True)
    in_plan = serializers.BooleanField(help_text="The plan has this infrastructure.")
    deployments_left = serializers.IntegerField(allow_null=True, help_text="How many more the plan allows; null: no limit.")
    can_start = serializers.BooleanField()
    refusals = RefusalOutput(many=True)
    lasts_until_now = serializers.DateTimeField(
        allow_null=True, help_text="Until when the credits last as things are; null if nothing burns."
    )
    lasts_until = serializers.DateTimeField(allow_null=True, help_text="Until when they would last with this beside what runs.")
    runs_left = serializers.IntegerField(allow_null=True, help_text="How many runs of `run_ms` what is available pays; null for instances.")
