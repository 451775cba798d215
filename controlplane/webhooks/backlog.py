"""How much may wait for the receivers of a project: what comes above that is left out, and the webhook that is behind is disabled for it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count

from controlplane.webhooks.models import Delivery, DeliveryState, Webhook

# Over all webhooks of a project.
MOST_WAITING = 200_000
# A process counts again after so many seconds, and after so many events that it wrote itself.
RECOUNT_SECONDS, RECOUNT_AFTER = 10.0, 1000
MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class Counted:
    """When a project was last found to have room (by the monotonic clock), and what this process has written for it since."""

    at: float
    written: int = 0


counted: dict[UUID, Counted] = {}


def without_room(project_id: UUID) -> set[UUID]:
    """Return the webhooks of a project that are told nothing more for now: none, as long as it has room.

    Counts rarely while there is room, so that the limit is kept about; always while there is none, so that it ends at once.
    """
    found = counted.get(project_id)
    if found and found.written < RECOUNT_AFTER and time.monotonic() - found.at < RECOUNT_SECONDS:
        return set()
    full = behind(project_id)
    if full:
        counted.pop(project_id, None)
        return full
    if len(counted) >= MOST_REMEMBERED:
        counted.clear()
    counted[project_id] = Counted(time.monotonic())
    return set()


def note_written(project_id: UUID, count: int) -> None:
    """Remember that so many deliveries were written for a project."""
    if found := counted.get(project_id):
        found.written += count


def behind(project_id: UUID) -> set[UUID]:
    """Return the webhooks that keep a project's room full: those that have more than a fair part of it. None while there is room."""
    waiting = waiting_of(project_id)
    if sum(waiting.values()) < MOST_WAITING:
        return set()
    return {webhook for webhook, count in waiting.items() if count * len(waiting) >= MOST_WAITING}


def waiting_of(project_id: UUID) -> dict[UUID, int]:
    """Return how many deliveries wait for each active webhook of a project."""
    hooks: Collection[UUID] = list(Webhook.objects.filter(project=project_id, active=True).values_list("pk", flat=True))
    rows = Delivery.objects.filter(webhook__in=hooks, state=DeliveryState.PENDING).order_by().values_list("webhook_id")
    return dict(rows.annotate(count=Count("pk")))


def reason() -> str:
    """Return why a webhook is disabled that is behind."""
    return f"{MOST_WAITING} deliveries of the project were waiting, most of them for this receiver: it takes less than is sent to it. Later events are lost."
