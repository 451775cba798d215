"""Emitting events: rows in the transaction of what happened. Nothing is sent here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from controlplane.audit.services import storable_json
from controlplane.common import clock
from controlplane.common.arrays import array_text
from controlplane.common.hints import send_task
from controlplane.common.ids import uuid7
from controlplane.webhooks.backlog import note_written, without_room
from controlplane.webhooks.catalogue import EVENTS
from controlplane.webhooks.models import Delivery, Webhook

BATCH = 1000


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened in a project. `subject` is the id of what it happened to, `data` is JSON without secrets and fractions.

    `event_id` is what receivers tell repetitions by: give one of the event's own when it may be told twice (a run's report).
    """

    project_id: UUID
    type: str
    subject: str
    data: Mapping[str, Any]
    occurred_at: datetime | None = None
    event_id: UUID | None = None


def emit_event(*, project_id: UUID, type: str, subject: str, data: Mapping[str, Any]) -> None:  # noqa: A002 - what it is called
    """Tell the webhooks of a project that something happened: `emit_events` of one."""
    emit_events([NewEvent(project_id=project_id, type=type, subject=subject, data=data)])


def emit_events(events: Sequence[NewEvent]) -> None:
    """Put events into the outbox of every webhook that listens to them and is not too far behind; one query when none does.

    Call it inside the transaction of the change: what is undone is never sent, what is committed never lost. An event with an id that a
    webhook has had already is left out. Raises ValueError for a type that is not in the catalogue, RuntimeError outside of a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("Emit events inside the transaction of the change that they tell of.")
    if unknown := {event.type for event in events} - set(EVENTS):
        raise ValueError(f"no such events: {sorted(unknown)}; add them to catalogue.EVENTS")
    now = clock.now()
    rows = [row for event, hooks in with_room(listened(events)) for row in deliveries(event, hooks, now)]
    if rows:
        Delivery.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
        deliver_soon()


def listening_projects(project_ids: set[str]) -> set[UUID]:
    """Return those of the projects that have a webhook at all: for whoever has thousands of events that are work to describe."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT project_id FROM webhooks_webhook WHERE active AND project_id = ANY(%s::uuid[])", [array_text(project_ids)]
        )
        return {pk for (pk,) in cursor.fetchall()}


def listened(events: Sequence[NewEvent]) -> list[tuple[NewEvent, list[UUID]]]:
    """Return events with the webhooks that listen to them."""
    hooks: dict[tuple[UUID, str], list[UUID]] = defaultdict(list)
    rows = Webhook.objects.filter(project_id__in={event.project_id for event in events}, active=True)
    for pk, project_id, types in rows.values_list("pk", "project_id", "events"):
        for name in types:
            hooks[project_id, name].append(pk)
    return [(event, hooks[event.project_id, event.type]) for event in events if (event.project_id, event.type) in hooks]


def with_room(told: Sequence[tuple[NewEvent, list[UUID]]]) -> list[tuple[NewEvent, list[UUID]]]:
    """Leave out webhooks that are too far behind, and have a worker disable them once the present transaction is committed."""
    full = {project_id: without_room(project_id) for project_id in {event.project_id for event, _ in told}}
    if any(full.values()):
        transaction.on_commit(partial(send_task, "webhooks.stop_overflowing", expires=60, retry=False), robust=True)
    found = [(event, [hook for hook in hooks if hook not in full[event.project_id]]) for event, hooks in told]
    for event, hooks in found:
        note_written(event.project_id, len(hooks))
    return found


def deliveries(event: NewEvent, hooks: Sequence[UUID], now: datetime) -> list[Delivery]:
    """Return the rows of one event."""
    event_id, data = event.event_id or uuid7(), storable_json(event.data)
    return [
        Delivery(
            webhook_id=hook,
            event_id=event_id,
            type=event.type,
            subject=event.subject,
            data=data,
            occurred_at=event.occurred_at or now,
            created_at=now,
            next_attempt_at=now,
        )
        for hook in hooks
    ]


def deliver_soon() -> None:
    """Ask a worker to look at the outbox once the present transaction is committed. A hint: beat looks each second anyway."""
    transaction.on_commit(send_hint, robust=True)


def send_hint() -> None:
    """Ask a worker to look at the outbox."""
    send_task("webhooks.deliver_due", expires=3, retry=False)
