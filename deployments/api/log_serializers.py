"""Shapes of logs on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from deployments.api.usage_serializers import MOST_MS
from deployments.logs import LEVELS
from deployments.models import LogLine

LOG_LIMIT = 10_000


class LogQuery(serializers.Serializer[Any]):
    """Which lines of a log: times in milliseconds since 1970, both ends included."""

    start = serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS)
    end = serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS)
    level = serializers.ChoiceField(choices=LEVELS, required=False, help_text="Lines of exactly this level.")
    limit = serializers.IntegerField(min_value=1, max_value=LOG_LIMIT, default=1000)


class LogLineOutput(serializers.ModelSerializer[LogLine]):
    """A line; `run` and `duration_ms` (of the engine) are there on lines about a run."""

    source = serializers.ChoiceField(choices=["build", "run"], read_only=True)  # type: ignore[assignment]

    class Meta:
        model = LogLine
        fields = ["timestamp", "level", "source", "message", "run", "duration_ms"]

    def to_representation(self, line: LogLine) -> dict[str, Any]:
        """Leave out what a line does not have."""
        return {name: value for name, value in super().to_representation(line).items() if value is not None}


class LogOutput(serializers.Serializer[Any]):
    """Lines in order; go on with `start = end + 1`."""

    logs = LogLineOutput(many=True)
    end = serializers.IntegerField(help_text="Time of the last line.")
