"""Shapes of usage on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework import serializers

from controlplane.api.fields import ChoiceField
from controlplane.common import clock
from deployments.models import UsageGrain

# 2286-11-20; above it a millisecond timestamp is a mistake, and dates end.
MOST_MS = 10_000_000_000_000
DAY = timedelta(days=1)


class UsageQuery(serializers.Serializer[Any]):
    """A period in milliseconds since 1970. The default is the last 24 hours."""

    bucket = ChoiceField(choices=UsageGrain.values, required=False)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """Name the fields as the wire does: `from` is no Python name."""
        limits = {name: serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS) for name in ("from", "to")}
        return {**super().get_fields(), **limits}

    @staticmethod
    def period(query: dict[str, Any]) -> dict[str, Any]:
        """Return what a valid query asks the selectors for."""
        until = moment(query["to"]) if "to" in query else clock.now()
        since = moment(query["from"]) if "from" in query else until - DAY
        return {"since": since, "until": until, "bucket": query.get("bucket")}


class ProductOutput(serializers.Serializer[Any]):
    """What was used."""

    name = serializers.CharField()
    unit = serializers.CharField()


class HitsOutput(serializers.Serializer[Any]):
    """Runs in total, and by the start of their minute, hour or day in milliseconds (minutes up to a day, hours up to eight days)."""

    total = serializers.IntegerField()
    data = serializers.DictField(child=serializers.IntegerField())  # type: ignore[assignment]


class UsageOutput(serializers.Serializer[Any]):
    """The runs of one product."""

    product = ProductOutput()
    hits = HitsOutput()
    duration_ms = serializers.IntegerField(help_text="Time of the engine, each run rounded up to a whole millisecond.")
    micro_credits = serializers.IntegerField(help_text="What the runs cost, in millionths of a credit.")


def moment(milliseconds: int) -> datetime:
    """Return the aware moment of a millisecond timestamp."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
