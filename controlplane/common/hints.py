"""Sending tasks to workers. Celery is loaded at the first one: 5 MB that most web processes never need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def send_task(name: str, args: Sequence[Any] = (), **options: Any) -> None:
    """Ask a worker to run the task of that name; `options` are Celery's (`expires` and `countdown` in seconds). Raises kombu's errors."""
    from controlplane.celery import app

    app.send_task(name, args=list(args), **options)
