"""Tasks of the storage: load ids, call."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from storage.check import log_check
from storage.sweep import sweep
from storage.verify import verify_waiting


@shared_task(name="storage.sweep")
def sweep_task() -> None:
    """Each 15 seconds, and soon after a deletion: clear up what is due."""
    sweep()


@shared_task(name="storage.verify_upload")
def verify_upload_task(pk: str) -> None:
    """Read the bytes of an upload that came in parts."""
    verify_waiting(UUID(pk))


@shared_task(name="storage.check")
def check_task() -> None:
    """Daily: compare the bucket with the database and log where they differ; an operator repairs."""
    log_check()
