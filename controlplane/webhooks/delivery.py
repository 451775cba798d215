"""Sending a turn, and writing down what came of it.

Whoever locks a webhook and its deliveries locks the webhook first. Nothing is locked while something is sent.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from controlplane.common import clock
from controlplane.webhooks.claims import TURN_SECONDS, Turn, give_back
from controlplane.webhooks.models import Delivery, DeliveryState, Webhook
from controlplane.webhooks.schedule import DISABLE_AFTER, FAILURES_BEFORE_HOLD, FAULT_PAUSE, hold_after, pause_after
from controlplane.webhooks.signing import secrets_of, signed_headers
from controlplane.webhooks.wire import Answer, Connection
from controlplane.workspaces.trail import note

# Receivers that take longer than this are served beside the failing ones.
SLOW_MS = 2000
GONE = 410
GONE_REASON = "The receiver answered 410 Gone, which asks to send nothing more."
FAILED_REASON = f"Every delivery has failed for {DISABLE_AFTER.days} days."


def deliver_turn(turn: Turn, *, stopping: threading.Event | None = None) -> int:
    """Send the deliveries of a turn in their order and return how many arrived; the first failure ends it, and the rest is due again.

    Anything that is raised is a fault of ours: the webhook is left alone for a while, and nothing is held against its receiver.
    """
    try:
        arrived = send_all(turn, stopping)
    except Exception:
        hold_for_fault(turn.webhook)
        raise
    finally:
        give_back(turn)
    return arrived


def send_all(turn: Turn, stopping: threading.Event | None) -> int:
    """Send until the turn's time is over, something fails, or the webhook is not what it was; return how many arrived."""
    ends = time.monotonic() + TURN_SECONDS
    arrived = 0
    signing = secrets_of(turn.webhook, now=clock.now())
    with Connection(turn.webhook.target_url) as connection:
        for delivery in turn.deliveries:
            if time.monotonic() > ends or (stopping is not None and stopping.is_set()) or not is_wanted(turn, delivery):
                break
            if not attempt(turn, delivery, connection, signing):
                break
            arrived += 1
    return arrived


def is_wanted(turn: Turn, delivery: Delivery) -> bool:
    """Tell whether a delivery is still this turn's, and its webhook active with the address that the turn began with."""
    held = Delivery.objects.filter(pk=delivery.pk, lease_token=turn.token)
    return held.filter(webhook__active=True, webhook__target_url=turn.webhook.target_url).exists()


def hold_for_fault(webhook: Webhook) -> None:
    """Leave a webhook alone for FAULT_PAUSE, unless it is held for longer."""
    until = clock.now() + FAULT_PAUSE
    Webhook.objects.filter(pk=webhook.pk).exclude(hold_until__gte=until).update(hold_until=until)


def attempt(turn: Turn, delivery: Delivery, connection: Connection, signing: list[str]) -> bool:
    """Send one delivery and keep the outcome; False ends the turn."""
    body = body_of(turn.webhook, delivery)
    stamp = int(clock.now().timestamp())
    answer = connection.post(body, signed_headers(signing, event_id=str(delivery.event_id), timestamp=stamp, body=body))
    return keep_success(turn, delivery, answer) if answer.accepted else keep_failure(turn, delivery, answer)


def body_of(webhook: Webhook, delivery: Delivery) -> bytes:
    """Return the body of a delivery: the same bytes at each attempt."""
    content = {
        "id": str(delivery.event_id),
        "type": delivery.type,
        "timestamp": delivery.occurred_at.isoformat(),
        "sequence": delivery.sequence,
        "project": str(webhook.project_id),
        "subject": delivery.subject,
        "data": delivery.data,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def outcome(answer: Answer, now: datetime) -> dict[str, Any]:
    """Return what a delivery's row keeps of an attempt."""
    return {
        "attempts": F("attempts") + 1,
        "lease_token": None,
        "last_attempt_at": now,
        "last_status": answer.status,
        "last_error": answer.error,
        "last_duration_ms": answer.duration_ms,
    }


def keep_success(turn: Turn, delivery: Delivery, answer: Answer) -> bool:
    """Write that a delivery arrived. False when it is another worker's by now, or was deleted: what this one did is discarded."""
    now = clock.now()
    held = Delivery.objects.filter(pk=delivery.pk, lease_token=turn.token)
    if not held.update(**outcome(answer, now), state=DeliveryState.DELIVERED, ended_at=now):
        return False
    slow = answer.duration_ms > SLOW_MS
    if Webhook.objects.filter(pk=turn.webhook.pk).exclude(failures=0, slow=slow).exists():
        recover(turn.webhook, slow=slow, now=now)
    return True


def recover(webhook: Webhook, *, slow: bool, now: datetime) -> None:
    """Write that a receiver answers again; what waited for one that had been left alone is due now."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update(no_key=True).filter(pk=webhook.pk).first()
        if row is None:
            return
        Webhook.objects.filter(pk=row.pk).update(failures=0, failing_since=None, hold_until=None, slow=slow)
        if row.failures >= FAILURES_BEFORE_HOLD:
            waiting = Delivery.objects.filter(webhook=row, state=DeliveryState.PENDING, lease_token=None, next_attempt_at__gt=now)
            waiting.update(next_attempt_at=now)


def keep_failure(turn: Turn, delivery: Delivery, answer: Answer) -> bool:
    """Write that an attempt failed: the delivery waits or is DEAD, its webhook is left alone for a while or disabled. Returns False."""
    now = clock.now()
    pause = pause_after(delivery.attempts + 1, retry_after=answer.retry_after)
    ending = {"state": DeliveryState.DEAD, "ended_at": now} if pause is None else {"next_attempt_at": now + pause}
    with transaction.atomic():
        rows = Webhook.objects.select_for_update(no_key=True, of=("self",)).select_related("project__namespace__parent")
        webhook = rows.filter(pk=turn.webhook.pk).first()
        held = Delivery.objects.filter(pk=delivery.pk, lease_token=turn.token)
        if webhook is not None and held.update(**outcome(answer, now), **ending):
            count_failure(webhook, answer, now)
    return False


def count_failure(webhook: Webhook, answer: Answer, now: datetime) -> None:
    """Note one more failure on a webhook whose row is locked."""
    webhook.failures += 1
    webhook.failing_since = webhook.failing_since or now
    hold = hold_after(webhook.failures)
    webhook.hold_until = now + hold if hold else None
    webhook.save(update_fields=["failures", "failing_since", "hold_until"])
    if webhook.active and answer.status == GONE:
        disable(webhook, GONE_REASON, now)
    elif webhook.active and now - webhook.failing_since >= DISABLE_AFTER:
        disable(webhook, FAILED_REASON, now)


def disable(webhook: Webhook, reason: str, now: datetime) -> None:
    """Send nothing more to a webhook, whose row is locked, until somebody activates it; what waits is DEAD, and can be replayed then."""
    Webhook.objects.filter(pk=webhook.pk).update(active=False, disabled_reason=reason, updated_at=now)
    waiting = Delivery.objects.filter(webhook=webhook, state=DeliveryState.PENDING)
    lost = waiting.update(state=DeliveryState.DEAD, ended_at=now, lease_token=None)
    note(None, "webhook.disable", webhook, workspace=webhook.workspace_id, reason=reason, undelivered=lost)
