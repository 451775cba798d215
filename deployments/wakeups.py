"""Hints to the reconciler. Beat is the truth: a hint that is lost costs a second."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from celery import current_app
from django.db import transaction


def wake_on_commit(pk: UUID) -> None:
    """Ask a worker to look at the deployment once the present transaction is committed."""
    transaction.on_commit(partial(send_wakeup, pk), robust=True)


def send_wakeup(pk: UUID, *, delay: float = 0.0) -> None:
    """Ask a worker to look at the deployment in `delay` seconds; expires soon, so that hints never pile up."""
    current_app.send_task("deployments.reconcile", args=[str(pk)], countdown=delay or None, expires=delay + 10, retry=False)
