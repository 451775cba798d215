"""What managers can do with webhooks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.errors import Conflict
from controlplane.common.ids import uuid7
from controlplane.common.lookup import visible_or_404
from controlplane.projects.models import Project
from controlplane.projects.services import locked_project, visible_project
from controlplane.webhooks import backlog
from controlplane.webhooks.backlog import waiting_of
from controlplane.webhooks.catalogue import EVENTS, PING
from controlplane.webhooks.destinations import checked_url
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook
from controlplane.webhooks.outbox import deliver_soon
from controlplane.webhooks.signing import new_secret, sealed
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note

MOST_WEBHOOKS = 20
REPLAYED_TOGETHER = 5000
PREVIOUS_SECRET_LIFE = timedelta(hours=24)
# What a webhook looks like whose receiver nothing is known of.
UNTRIED: dict[str, Any] = {"failures": 0, "failing_since": None, "hold_until": None, "slow": True}
# What a delivery looks like that was never tried.
DUE_AGAIN: dict[str, Any] = {"state": DeliveryState.PENDING, "attempts": 0, "lease_token": None, "ended_at": None}


def create_webhook(*, actor: User, project_id: UUID, target_url: str, events: Iterable[str]) -> tuple[Webhook, str]:
    """Add a receiver to a project; returns it with its secret, which nobody is told again.

    Raises `NotFound`, `PermissionDenied`, `InvalidInput` (address) and `Conflict` (too many).
    """
    require(actor, Permission.WEBHOOK_MANAGE, visible_project(actor, project_id))
    url, secret = checked_url(target_url), new_secret()
    with transaction.atomic():
        project = locked_project(project_id)
        if Webhook.objects.filter(project=project).count() >= MOST_WEBHOOKS:
            raise Conflict("too_many_webhooks", f"'{project.path}' has {MOST_WEBHOOKS} webhooks, which is the most. Delete one first.")
        webhook = Webhook.objects.create(
            project=project, target_url=url, events=in_order(events), created_by=actor, secret_encrypted=sealed(secret)
        )
        note(actor, "webhook.create", webhook, workspace=project.workspace_id, host=webhook.host, events=webhook.events)
    return webhook, secret


def update_webhook(
    *, actor: User, webhook_id: UUID, target_url: str | None = None, events: Iterable[str] | None = None, active: bool | None = None
) -> Webhook:
    """Change what is given. Another address, and activation, begin anew: nothing is held against the receiver.

    Deactivation leaves what waits; it goes on when it is activated. Raises `NotFound`, `PermissionDenied`, `InvalidInput` (address).
    """
    managed(actor, webhook_id)
    changes: dict[str, Any] = {} if active is None else {"active": active}
    if target_url is not None:
        changes["target_url"] = checked_url(target_url)
    if events is not None:
        changes["events"] = in_order(events)
    with transaction.atomic():
        webhook = locked_webhook(webhook_id)
        told = [name for name, value in changes.items() if getattr(webhook, name) != value]
        if told:
            changes |= {"disabled_reason": "", **UNTRIED} if {"active", "target_url"} & set(told) else {}
            for name, value in changes.items():
                setattr(webhook, name, value)
            webhook.save(update_fields=[*changes, "updated_at"])
            note(actor, "webhook.edit", webhook, workspace=webhook.workspace_id, changed=told, host=webhook.host, active=webhook.active)
            deliver_soon()
    return webhook


def delete_webhook(*, actor: User, webhook_id: UUID) -> None:
    """Delete a webhook with all its deliveries."""
    managed(actor, webhook_id)
    with transaction.atomic():
        webhook = locked_webhook(webhook_id)
        Delivery.objects.filter(webhook=webhook).delete()
        Webhook.objects.filter(pk=webhook.pk).delete()
        note(actor, "webhook.delete", webhook, workspace=webhook.workspace_id, host=webhook.host)


def rotate_secret(*, actor: User, webhook_id: UUID) -> tuple[Webhook, str]:
    """Give a webhook a new secret and return it; for a day the present one signs too. Of two rotations in a day the first secret ends."""
    managed(actor, webhook_id)
    secret = new_secret()
    with transaction.atomic():
        webhook = locked_webhook(webhook_id)
        webhook.previous_secret_encrypted, webhook.secret_encrypted = webhook.secret_encrypted, sealed(secret)
        webhook.previous_secret_until = clock.now() + PREVIOUS_SECRET_LIFE
        webhook.save(update_fields=["previous_secret_encrypted", "secret_encrypted", "previous_secret_until", "updated_at"])
        note(actor, "webhook.rotate", webhook, workspace=webhook.workspace_id, host=webhook.host)
    return webhook, secret


def ping_webhook(*, actor: User, webhook_id: UUID) -> Delivery:
    """Send a test event. Raises `Conflict` for an inactive webhook."""
    managed(actor, webhook_id)
    with transaction.atomic():
        webhook = active_webhook(webhook_id)
        now = clock.now()
        told = {"webhook_id": webhook.pk, "event_id": uuid7(), "type": PING, "subject": str(webhook.pk), "data": {"by": actor.username}}
        delivery = Delivery.objects.create(**told, occurred_at=now, created_at=now, next_attempt_at=now)
        Webhook.objects.filter(pk=webhook.pk).update(hold_until=None)
        deliver_soon()
    return delivery


def replay_delivery(*, actor: User, delivery_id: UUID) -> Delivery:
    """Send a delivery again that has ended, whichever way; its event keeps its id. Raises `Conflict` while it is on its way."""
    delivery = visible_delivery(actor, delivery_id)
    require(actor, Permission.WEBHOOK_MANAGE, delivery.webhook.project)
    with transaction.atomic():
        webhook = active_webhook(delivery.webhook_id)
        ended = Delivery.objects.filter(pk=delivery.pk).exclude(state=DeliveryState.PENDING)
        if not ended.update(**DUE_AGAIN, next_attempt_at=clock.now()):
            raise Conflict("on_its_way", "This delivery is still being tried. Wait for its end, or activate and mend the receiver.")
        note(actor, "webhook.replay", webhook, workspace=webhook.workspace_id, host=webhook.host, event=str(delivery.event_id))
        deliver_soon()
    delivery.refresh_from_db()
    return delivery


def replay_dead(*, actor: User, webhook_id: UUID) -> tuple[int, int]:
    """Send dead deliveries of a webhook again, the oldest first, REPLAYED_TOGETHER at most; return how many, and how many are left.

    Raises `Conflict` for an inactive webhook, and for a project with so much waiting that they would find no room.
    """
    managed(actor, webhook_id)
    with transaction.atomic():
        webhook = active_webhook(webhook_id)
        if sum(waiting_of(webhook.project_id).values()) + REPLAYED_TOGETHER > backlog.MOST_WAITING:
            raise Conflict("too_much_waiting", "Too many deliveries of this project are waiting. Ask again when they have been sent.")
        dead = Delivery.objects.filter(webhook=webhook, state=DeliveryState.DEAD)
        taken = list(dead.order_by("sequence").values_list("pk", flat=True)[:REPLAYED_TOGETHER])
        count: int = dead.filter(pk__in=taken).update(**DUE_AGAIN, next_attempt_at=clock.now())
        left = dead.count()
        if count:
            note(actor, "webhook.replay", webhook, workspace=webhook.workspace_id, host=webhook.host, deliveries=count)
            deliver_soon()
    return count, left


def visible_webhook(actor: User, webhook_id: UUID) -> Webhook:
    """Return a webhook that the actor may read. Raises `NotFound` and `PermissionDenied`."""
    found: Webhook = visible_or_404(Webhook.objects.visible_to(actor).select_related("project__namespace__parent"), pk=webhook_id)
    require(actor, Permission.WEBHOOK_READ, found.project)
    return found


def visible_delivery(actor: User, delivery_id: UUID) -> Delivery:
    """Return a delivery that the actor may read. Raises `NotFound` and `PermissionDenied`."""
    rows = Delivery.objects.visible_to(actor).select_related("webhook__project__namespace__parent")
    found: Delivery = visible_or_404(rows, uid=delivery_id)
    require(actor, Permission.WEBHOOK_READ, found.webhook.project)
    return found


def readable_project(actor: User, project_id: UUID) -> Project:
    """Return a project whose webhooks the actor may read. Raises `NotFound` and `PermissionDenied`."""
    project = visible_project(actor, project_id)
    require(actor, Permission.WEBHOOK_READ, project)
    return project


def managed(actor: User, webhook_id: UUID) -> None:
    """Raise `NotFound` or `PermissionDenied` unless the actor may change this webhook."""
    require(actor, Permission.WEBHOOK_MANAGE, visible_webhook(actor, webhook_id).project)


def locked_webhook(webhook_id: UUID) -> Webhook:
    """Return a webhook that nobody else changes or deletes until the transaction ends. Raises `NotFound`."""
    rows: Any = Webhook.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent")
    found: Webhook = visible_or_404(rows, pk=webhook_id)
    return found


def active_webhook(webhook_id: UUID) -> Webhook:
    """Return a locked webhook that something can be sent to. Raises `Conflict` for an inactive one."""
    webhook = locked_webhook(webhook_id)
    if not webhook.active:
        raise Conflict("webhook_inactive", 'Nothing is sent to an inactive webhook. Activate it first: PATCH it with {"active": true}.')
    return webhook


def in_order(events: Iterable[str]) -> list[str]:
    """Return types of events, each once, in the order of the catalogue."""
    wanted = set(events)
    return [name for name in EVENTS if name in wanted]
