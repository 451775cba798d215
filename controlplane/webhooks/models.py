"""Webhooks, and what is sent to them."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from controlplane.accounts.models import User
from controlplane.common.ids import uuid7
from controlplane.common.models import BaseModel
from controlplane.projects.models import Project
from controlplane.webhooks.querysets import DeliveryQuerySet, WebhookQuerySet


class Webhook(BaseModel):
    """A receiver of a project's events. Secrets are Fernet texts under FIELD_KEY; the previous one signs too until `previous_secret_until`.

    How it does is written by deliveries alone: `failures` in a row (0 = the last attempt was right) since `failing_since`, not asked
    again before `hold_until`. A `slow` one, which a new one counts as too, is served beside the failing ones, apart from the quick.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="webhooks")
    target_url = models.TextField()
    events = ArrayField(models.CharField(max_length=60))
    active = models.BooleanField(default=True)
    disabled_reason = models.TextField(blank=True, default="")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    secret_encrypted = models.TextField()
    previous_secret_encrypted = models.TextField(blank=True, default="")
    previous_secret_until = models.DateTimeField(null=True)

    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    hold_until = models.DateTimeField(null=True)
    slow = models.BooleanField(default=True)
    last_turn_at = models.DateTimeField(null=True)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        verbose_name = "webhook"

    def __str__(self) -> str:
        return f"{self.pk} to {self.host}"

    @property
    def host(self) -> str:
        """Return the receiver's host name: the one part of its address that holds no secret."""
        return urlsplit(self.target_url).hostname or ""

    @property
    def path(self) -> str:
        """Return what the audit log calls it."""
        return f"{self.project.path}/webhooks/{self.host}"

    @property
    def workspace_id(self) -> UUID:
        """Return the id of the workspace that its project belongs to."""
        return self.project.workspace_id


class DeliveryState(models.TextChoices):
    """What became of a delivery. A DEAD one is tried no more, until somebody replays it."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


class Delivery(models.Model):
    """One event on its way to one webhook: the outbox, written in the transaction of what happened.

    `next_attempt_at` is when it is due; for one that a worker has taken (`lease_token`), when others may take it. `event_id` is the same
    for all webhooks and all attempts. `sequence` rises in the order of writing.
    """

    sequence = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(unique=True, default=uuid7, editable=False)
    # No database constraint: a webhook that is deleted at this moment must not undo what happened. Upkeep removes such rows.
    webhook = models.ForeignKey(Webhook, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="deliveries")
    event_id = models.UUIDField()
    type = models.CharField(max_length=60)
    subject = models.CharField(max_length=200)
    data = models.JSONField()
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_token = models.UUIDField(null=True)
    last_attempt_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.TextField(blank=True, default="")
    last_duration_ms = models.PositiveIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event_id"], name="delivery_once_for_each_webhook"),
            models.CheckConstraint(condition=models.Q(state__in=DeliveryState.values), name="delivery_state_known"),
        ]
        indexes = [
            models.Index(fields=["webhook", "next_attempt_at", "sequence"], name="delivery_due", condition=models.Q(state="PENDING")),
            models.Index(fields=["webhook"], name="delivery_under_way", condition=models.Q(lease_token__isnull=False)),
            models.Index(fields=["webhook", "-sequence"], name="delivery_of_webhook"),
            models.Index(fields=["state", "ended_at"], name="delivery_ended", condition=models.Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.type} ({self.state})"
