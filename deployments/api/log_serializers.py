"""Shapes of logs on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from controlplane.api.fields import ChoiceField
from deployments.api.usage_serializers import MOST_MS
from deployments.logs import LEVELS, SOURCES
from deployments.models import LogLine

LOG_LIMIT = 10_000


class LogQuery(serializers.Serializer[Any]):
    """Which lines of a log: times in milliseconds since 1970, both ends included. All conditions must hold."""

    start = serializers.IntegerField(
        required=False, min_value=0, max_value=MOST_MS, help_text="The first lines from here on; without it the newest."
    )
    end = serializers.IntegerField(required=False, min_value=0, max_value=MOST_MS)
    level = ChoiceField(choices=LEVELS, required=False, help_text="Lines of exactly this level.")
    min_level = ChoiceField(choices=LEVELS, required=False, help_text="Lines of at least this level.")
    source = ChoiceField(choices=SOURCES, required=False, help_text="`build`, or `run` for what replicas print.")  # type: ignore[assignment]
    run = serializers.UUIDField(required=False, help_text="Lines about one run.")
    search = serializers.CharField(
        required=False, max_length=200, trim_whitespace=False, help_text="Lines with this text; case does not matter."
    )
    limit = serializers.IntegerField(min_value=1, max_value=LOG_LIMIT, default=1000)
    follow = serializers.BooleanField(
        default=False, help_text="Hold the answer until there are new lines, for 20 seconds at most. Go on with `start = end + 1`."
    )


class LogLineOutput(serializers.ModelSerializer[LogLine]):
    """A line; `run` and `duration_ms` (of the engine) are there on lines about a run."""

    source = ChoiceField(choices=SOURCES, read_only=True)  # type: ignore[assignment]

    class Meta:
        model = LogLine
        fields = ["timestamp", "level", "source", "message", "run", "duration_ms"]

    def to_representation(self, line: LogLine) -> dict[str, Any]:
        """Leave out what a line does not have."""
        return {name: value for name, value in super().to_representation(line).items() if value is not None}


class LogOutput(serializers.Serializer[Any]):
    """Lines in order; go on with `start = end + 1`."""

    logs = LogLineOutput(many=True)
    end = serializers.IntegerField(help_text="Time of the last line; with `follow`, of the last one that was looked at.")
    retry_after_ms = serializers.IntegerField(
        required=False, help_text="With `follow` only: 0, or how long to wait before the next call because too many are held already."
    )
