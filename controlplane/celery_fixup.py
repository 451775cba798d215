"""Celery with Django, and with connections that outlive a task.

Celery's own fixup closes the database's connection before and after each task. A new one costs a worker 5 ms of a core, more than most tasks
take, and PostgreSQL a process. Here Django's rule for requests holds: a connection is kept for CONN_MAX_AGE, and one that broke is replaced.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.fixups.django import DjangoFixup, DjangoWorkerFixup  # type: ignore[attr-defined]  # the stubs are of an older Celery
from django.db import close_old_connections


class KeepingWorkerFixup(DjangoWorkerFixup):  # type: ignore[misc]
    """What Celery does around a task."""

    def close_database(self, **_: Any) -> None:
        """Close what is too old or broken; the first query of a task looks whether the rest still answers."""
        close_old_connections()


class KeepingFixup(DjangoFixup):
    """What Celery does at its start."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self.kept: KeepingWorkerFixup | None = None

    @property
    def worker_fixup(self) -> KeepingWorkerFixup:
        """Return what Celery does around a task; made late, for it reads the settings."""
        if self.kept is None:
            self.kept = KeepingWorkerFixup(self.app)
        return self.kept


def fixup(app: Celery) -> KeepingFixup:
    """Install it; Celery calls this by its name."""
    made = KeepingFixup(app)
    made.install()
    return made
