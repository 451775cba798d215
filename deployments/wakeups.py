"""Hints to the reconciler. Beat is the truth: a hint that is lost costs a second."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from controlplane.common.hints import send_task


def wake_on_commit(pk: UUID) -> None:
    """Ask a worker to look at the deployment once the present transaction is committed."""

    def wake() -> None:
        send_wakeup(pk)

    # A named function: Django logs a robust hook that fails by its __qualname__, which a partial lacks.
    transaction.on_commit(wake, robust=True)


def send_wakeup(pk: UUID, *, delay: float = 0.0, handed_out: datetime | None = None) -> None:
    """Ask a worker to look at the deployment in `delay` seconds, if it is due then; expires soon, so that hints never pile up.

    `handed_out`: beat has put off its next look until then, and this hint stands for it.
    """
    words = [str(pk), handed_out.isoformat()] if handed_out else [str(pk)]
    send_task("deployments.reconcile", words, countdown=delay or None, expires=delay + 10, retry=False)


def send_build(version_id: UUID) -> None:
    """Ask a builder to build a version. A hint as well: who waits for the bundle asks again."""
    send_task("deployments.build", [str(version_id)], expires=10, retry=False)
