"""Fields of queries and answers about the ledger."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers

from billing.periods import months_after
from billing.selectors_charges import Wanted

MONTH = re.compile(r"^(20\d\d)-(0[1-9]|1[0-2])\Z")
# A plus sign that a client did not encode comes as a space.
LOST_PLUS = re.compile(r"(T[\d:.]+) (\d\d:?\d\d)\Z")


class MomentField(serializers.DateTimeField):
    """An ISO 8601 time of a query; one without an offset is UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        """Return the aware moment."""
        found: datetime = super().to_internal_value(LOST_PLUS.sub(r"\1+\2", value) if isinstance(value, str) else value)
        return found


class PeriodQuery(serializers.Serializer[Any]):
    """Which charges: by deployment, by project, and by a month or two moments."""

    deployment = serializers.UUIDField(required=False)
    project = serializers.UUIDField(required=False)
    since = MomentField(required=False)
    until = MomentField(required=False)
    month = serializers.RegexField(MONTH, required=False, error_messages={"invalid": "Give a month such as 2026-11."})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse two ways to say when, and an end that lies before the start."""
        if "month" in attrs and ("since" in attrs or "until" in attrs):
            raise serializers.ValidationError({"month": ["Give either a month, or since and until."]})
        if "since" in attrs and "until" in attrs and attrs["since"] > attrs["until"]:
            raise serializers.ValidationError({"until": ["Before `since`: give a later moment."]})
        return attrs


def wanted_charges(query: dict[str, Any]) -> Wanted:
    """Return what a valid query asks the selectors for."""
    since, until = query.get("since"), query.get("until")
    if month := query.get("month"):
        year, number = month.split("-")
        since = datetime(int(year), int(number), 1, tzinfo=UTC)
        until = months_after(since, 1)
    return Wanted(deployment=query.get("deployment"), project=query.get("project"), since=since, until=until)


class BilledDeploymentOutput(serializers.Serializer[Any]):
    """A deployment as bills name it; it may be deleted."""

    id = serializers.UUIDField()
    label = serializers.CharField(help_text="The path of its workflow when it was deployed.")  # type: ignore[assignment]
    offer = serializers.CharField(help_text="Provider, region, flavour and size.")
    project = serializers.UUIDField()


class ChargedPriceOutput(serializers.Serializer[Any]):
    """A price: micro-credits for each unit."""

    code = serializers.CharField()
    unit = serializers.ChoiceField(choices=["ms", "s"], help_text="`ms` of execution, or `s` that an instance is up.")
    micro_credits = serializers.IntegerField()
