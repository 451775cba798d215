"""Tasks: look at what changes by itself, and send what people are told."""

from __future__ import annotations

import logging

from celery import shared_task
from django.db import InterfaceError, OperationalError

from billing.caps import review_months
from billing.funding import review_times
from billing.notices import mail_notices
from billing.stripe import tasks as stripe_tasks  # noqa: F401 - Celery looks for tasks in this module alone
from billing.subscriptions import renew_due

logger = logging.getLogger(__name__)


@shared_task(name="billing.review_times")
def review_times_task() -> None:
    """Each minute: begin periods, let grants begin and end, end times of grace, open the caps of a former month. Each may be late or doubled."""
    for look in (renew_due, review_times, review_months):
        try:
            look()
        except (InterfaceError, OperationalError) as error:
            logger.warning("%s waits for the next look: %s", look.__name__, error)


@shared_task(name="billing.mail_notices")
def mail_notices_task() -> None:
    """Each minute: mail what people are to know of their credits, caps and payments."""
    try:
        mail_notices()
    except (InterfaceError, OperationalError) as error:
        logger.warning("notices wait for the next look: %s", error)
