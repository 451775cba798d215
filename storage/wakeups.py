"""Hints to the sweep. Beat is the truth: a hint that is lost costs some seconds."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from controlplane.common.hints import send_task


def remove_soon() -> None:
    """Ask a worker to remove discarded keys once the present transaction is committed."""
    transaction.on_commit(send_sweep, robust=True)


def verify_soon(pk: UUID) -> None:
    """Ask a worker to read an upload's bytes once the present transaction is committed."""

    def wake() -> None:
        send_verify(pk)

    # A named function: Django logs a robust hook that fails by its __qualname__, which a partial lacks.
    transaction.on_commit(wake, robust=True)


def send_sweep() -> None:
    """Ask for a sweep; expires soon, so that hints never pile up."""
    send_task("storage.sweep", expires=15, retry=False)


def send_verify(pk: UUID) -> None:
    """Ask for one upload to be verified. Who comes second finds it taken."""
    send_task("storage.verify_upload", [str(pk)], expires=60, retry=False)
