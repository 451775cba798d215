"""Shapes of what controls a deployment: scaling, roll-backs, revisions, schedules, its history."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import ChoiceField, CountField, FlagField, TextField, UrlField
from deployments.models import Replica, Revision, Schedule, ScheduleAction, StatusChange
from deployments.models.deployment import MOST_REPLICAS
from deployments.states import Status, next_step

MOST_IDLE_SECONDS = 7 * 24 * 3600
MOST_REVISION = 2**31 - 1


class Configuration(serializers.Serializer[Any]):
    """What may be set of a deployment; what is left out stays."""

    min_replicas = CountField(
        min_value=0, max_value=MOST_REPLICAS, required=False, help_text="0 only for SERVERLESS: it sleeps when nobody calls."
    )
    max_replicas = CountField(min_value=1, max_value=MOST_REPLICAS, required=False)
    idle_seconds = CountField(
        min_value=0,
        max_value=MOST_IDLE_SECONDS,
        required=False,
        help_text="With `min_replicas` 0: it sleeps after this time without a call.",
    )
    auto_rollback = FlagField(required=False, help_text="Take a new version back when its runs fail in its first 10 minutes.")
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="It is deleted then. null: never.")


class RollBackInput(serializers.Serializer[Any]):
    """Where to go back to; with neither, to the revision that served before."""

    tag = TextField(max_length=40, required=False, help_text="A tag of the workflow; the size stays.")
    revision = CountField(min_value=1, max_value=MOST_REVISION, required=False, help_text="A revision of this deployment, with its size.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse both at a time."""
        if len(attrs) > 1:
            raise serializers.ValidationError({"revision": "Give a tag or a revision, not both."})
        return attrs


class RevisionOutput(serializers.ModelSerializer[Revision]):
    """One version on one size that the deployment was to run."""

    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True, help_text="null: the service itself.")
    digest = serializers.CharField(read_only=True, help_text="SHA-256 of what was built for it; empty before that.")
    serving = serializers.SerializerMethodField(help_text="It takes the traffic now.")

    class Meta:
        model = Revision
        fields = ["number", "kind", "tag", "size", "digest", "state", "serving", "created_by", "note", "reason_code", "reason_detail"]
        fields += ["created_at", "served_at"]
        read_only_fields = fields

    def get_serving(self, revision: Revision) -> bool:
        """Compare with what the deployment serves."""
        return revision.number == revision.deployment.served_revision


class ReplicaOutput(serializers.ModelSerializer[Replica]):
    """A replica, as its provider last told."""

    class Meta:
        model = Replica
        fields = ["name", "revision", "size", "status", "workers", "isolation", "failure", "created_at", "ready_at", "terminated_at"]
        read_only_fields = fields


class HistoryOutput(serializers.ModelSerializer[StatusChange]):
    """A switch of the status; `next` says what to do about the reason."""

    next = serializers.SerializerMethodField()

    class Meta:
        model = StatusChange
        fields = ["before", "after", "reason_code", "reason_detail", "next", "created_at"]
        read_only_fields = fields

    @extend_schema_field(str)
    def get_next(self, change: StatusChange) -> str:
        """Say what to do, or what comes next."""
        return next_step(change.reason_code, Status(change.after))


class ScheduleInput(serializers.Serializer[Any]):
    """When to do what."""

    action = ChoiceField(choices=ScheduleAction.choices)
    cron = TextField(max_length=100, help_text="Minute, hour, day of the month, month, day of the week.")
    time_zone = TextField(max_length=60, default="UTC", help_text="A name such as Europe/Paris.")


class ScheduleOutput(serializers.ModelSerializer[Schedule]):
    """A schedule and its next time."""

    url = UrlField("schedule", schedule_id="id")
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = Schedule
        fields = ["url", "action", "cron", "time_zone", "next_at", "last_at", "created_by", "created_at"]
        read_only_fields = fields
