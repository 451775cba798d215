"""Shapes of spend caps on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.caps import MOST_MICRO
from billing.models import CapPeriod
from controlplane.api.fields import ChoiceField, CountField, IdField


class CapInput(serializers.Serializer[Any]):
    """A cap to set."""

    deployment = IdField(
        allow_null=True, default=None, help_text="The id of a deployment of the workspace; null: the workspace as a whole."
    )
    period = ChoiceField(choices=CapPeriod.values, help_text="MONTH counts calendar months of UTC, TOTAL all that was ever spent.")
    amount = CountField(min_value=1, max_value=MOST_MICRO, help_text="Micro-credits.")


class CapChange(serializers.Serializer[Any]):
    """What may change; the whole object may come back, read-only fields are ignored."""

    amount = CountField(min_value=1, max_value=MOST_MICRO, help_text="Micro-credits.")


class CapSumsOutput(serializers.Serializer[Any]):
    """Sums of a cap in credits."""

    amount = serializers.CharField()
    used = serializers.CharField()


class CapOutput(serializers.Serializer[Any]):
    """A spend cap and how far it is used."""

    url = serializers.URLField()
    id = serializers.UUIDField()
    deployment = serializers.UUIDField(allow_null=True)
    label = serializers.CharField(allow_null=True, help_text="The path of the deployment's workflow.")  # type: ignore[assignment]
    period = ChoiceField(choices=CapPeriod.values)
    amount = serializers.IntegerField()
    used = serializers.IntegerField(help_text="Without what was written off and what was given back.")
    in_credits = CapSumsOutput()
    share = serializers.IntegerField(help_text="Whole per cent of it that are used; mails are sent at 50, 80 and 100.")
    reached_at = serializers.DateTimeField(allow_null=True, help_text="Since then no run is accepted and no instance is up.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
