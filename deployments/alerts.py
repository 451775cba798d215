"""What operators must know: raised once for a subject, mailed, and cleared when it is over."""

from __future__ import annotations

import logging
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from controlplane.accounts.models import User
from controlplane.common import clock
from deployments.models import Alert, AlertKind

logger = logging.getLogger(__name__)

MAILED_AT_ONCE = 50


def raise_alert(kind: AlertKind, subject: str, *, detail: str, deployment_id: UUID | None = None) -> Alert:
    """Tell operators of something, once as long as it lasts. It is part of the caller's transaction."""
    alert, made = Alert.objects.get_or_create(
        kind=kind, subject=subject, cleared_at=None, defaults={"detail": detail, "deployment_id": deployment_id, "created_at": clock.now()}
    )
    if made:
        logger.error("%s %s: %s", kind, subject, detail)
    return alert


def clear_alert(kind: AlertKind, subject: str) -> None:
    """It is over; without such an alert nothing happens."""
    now = clock.now()
    if Alert.objects.filter(kind=kind, subject=subject, cleared_at=None).update(cleared_at=now, updated_at=now):
        logger.warning("%s %s: over", kind, subject)


def mail_alerts() -> int:
    """Mail new alerts to the operators, all in one mail; return how many. One that cannot be mailed now is tried again at the next turn."""
    with transaction.atomic():
        new = Alert.objects.select_for_update(skip_locked=True).filter(mailed_at=None)
        found = list(new.order_by("created_at")[:MAILED_AT_ONCE])
        addresses = list(User.objects.filter(is_staff=True, is_active=True).exclude(email="").values_list("email", flat=True))
        if not found or not addresses:
            return 0
        lines = [f"{alert.created_at:%Y-%m-%d %H:%M} UTC  {alert.get_kind_display()}  {alert.subject}\n{alert.detail}" for alert in found]
        text = "\n\n".join([*lines, "All open alerts: manage.py alerts"])
        send_mail(f"Slipway: {len(found)} alerts", text, settings.DEFAULT_FROM_EMAIL, addresses)
        now = clock.now()
        Alert.objects.filter(pk__in=[alert.pk for alert in found]).update(mailed_at=now, updated_at=now)
    return len(found)
