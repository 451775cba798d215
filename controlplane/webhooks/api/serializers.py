"""Shapes of webhooks on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers

from controlplane.api.fields import ChoiceField, FlagField, TextField, UrlField
from controlplane.webhooks.catalogue import EVENTS
from controlplane.webhooks.destinations import MOST_CHARACTERS
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook

ADDRESS_HELP = (
    "Where deliveries are sent: https, on a public address. It may hold a token of the receiver's; managers of the project see it."
)


def events_field(**options: Any) -> serializers.ListField:
    """Return the field of events that a webhook listens to."""
    choice = ChoiceField(choices=list(EVENTS.items()))
    return serializers.ListField(child=choice, min_length=1, max_length=len(EVENTS), **options)


class WebhookInput(serializers.Serializer[Any]):
    """A receiver to add."""

    target_url = TextField(max_length=MOST_CHARACTERS, help_text=ADDRESS_HELP)
    events = events_field()


class WebhookChange(serializers.Serializer[Any]):
    """What may change; the whole object may come back, read-only fields are ignored."""

    target_url = TextField(max_length=MOST_CHARACTERS, required=False, help_text=ADDRESS_HELP)
    events = events_field(required=False)
    active = FlagField(required=False, help_text="False: events of this time are not kept for it. True begins anew after a disabling.")


class WebhookOutput(serializers.ModelSerializer[Webhook]):
    """A webhook, without its secret."""

    url = UrlField("webhook", webhook_id="id")
    project = UrlField("project", project_id="project_id")
    events = serializers.ListField(child=serializers.CharField(), read_only=True)
    failures = serializers.IntegerField(read_only=True, help_text="Failed attempts in a row.")
    hold_until = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Nothing is sent before, since it keeps failing.")
    previous_secret_until = serializers.DateTimeField(read_only=True, allow_null=True, help_text="Until then the former secret signs too.")
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True)

    class Meta:
        model = Webhook
        fields = [
            *("url", "project", "target_url", "events", "active", "disabled_reason", "failures", "failing_since", "hold_until"),
            *("previous_secret_until", "created_by", "created_at", "updated_at"),
        ]


class SecretWebhookOutput(WebhookOutput):
    """A webhook with its secret, which is told this once."""

    secret = serializers.SerializerMethodField(help_text="Keep it: it is not told again. `whsec_` and the key in base64.")

    class Meta(WebhookOutput.Meta):
        fields = [*WebhookOutput.Meta.fields, "secret"]

    def get_secret(self, _: Webhook) -> str:
        """Return the clear secret, which the row does not hold."""
        return str(self.context["secret"])


class DeliveryOutput(serializers.ModelSerializer[Delivery]):
    """An event on its way to a webhook."""

    url = UrlField("webhook-delivery", delivery_id="uid")
    webhook = UrlField("webhook", webhook_id="webhook_id")
    event = serializers.UUIDField(source="event_id", read_only=True, help_text="The same for all webhooks and attempts: `webhook-id`.")
    data = serializers.JSONField(read_only=True)  # type: ignore[assignment]
    state = serializers.ChoiceField(choices=DeliveryState.choices, read_only=True)
    next_attempt_at = serializers.SerializerMethodField(help_text="Null once it has ended.")

    class Meta:
        model = Delivery
        fields = [
            *("url", "webhook", "event", "sequence", "type", "subject", "data", "occurred_at", "state", "attempts", "next_attempt_at"),
            *("last_attempt_at", "last_status", "last_error", "last_duration_ms", "ended_at", "created_at"),
        ]

    def get_next_attempt_at(self, delivery: Delivery) -> datetime | None:
        """Return when it is tried next."""
        return delivery.next_attempt_at if delivery.state == DeliveryState.PENDING else None


class ReplayOutput(serializers.Serializer[Any]):
    """How many deliveries are sent again."""

    replayed = serializers.IntegerField()
    left = serializers.IntegerField(help_text="Dead ones that are left for another call.")
