"""Tasks: load ids, call, say when to look again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from celery import shared_task

from controlplane.common import clock
from deployments.alerts import mail_alerts
from deployments.bundles.build import build_for_waiting
from deployments.clockwork import expire_deployments, run_schedules
from deployments.funding import compare_all, follow_funding
from deployments.logs_partitions import keep_log_partitions
from deployments.logs_tail import tail_logs
from deployments.meter_watch import watch_meters
from deployments.paying import register_missing, settle_missing
from deployments.payments_watch import watch_payments
from deployments.reconcile.demand import follow_demand
from deployments.reconcile.loop import HANDED_OUT, follow_hint, take_due
from deployments.reconcile.overdue import tell_overdue
from deployments.reconcile.sweep import sweep_providers
from deployments.reconcile.watch import watch_new_revisions
from deployments.routing import repair_routes
from deployments.usage_partitions import keep_usage_partitions
from deployments.wakeups import send_wakeup

# A next look that is nearer than this does not wait for beat.
FOLLOW_UP_SECONDS = 1.0


@shared_task(name="deployments.reconcile")
def reconcile_task(pk: str, handed_out: str | None = None) -> None:
    """Bring one deployment nearer to its intent; come back soon if it is still on its way."""
    wait = follow_hint(UUID(pk), handed_out=datetime.fromisoformat(handed_out) if handed_out else None)
    if wait is not None and wait < FOLLOW_UP_SECONDS:
        send_wakeup(UUID(pk), delay=wait)


@shared_task(name="deployments.build")
def build_task(version_id: str) -> None:
    """Build a version for the deployments that wait for it. Builders have a queue of their own: nothing else waits for a long build."""
    build_for_waiting(UUID(version_id))


@shared_task(name="deployments.reconcile_due")
def reconcile_due_task() -> None:
    """Each second: hand out every deployment that is due. This, not the hints, is what things rest on."""
    until = clock.now() + HANDED_OUT
    for pk in take_due(until):
        send_wakeup(pk, handed_out=until)


@shared_task(name="deployments.follow_demand")
def follow_demand_task() -> None:
    """Each second: wake what runs wait for, and have as many replicas as the calls need."""
    follow_demand()


@shared_task(name="deployments.sweep_providers")
def sweep_providers_task() -> None:
    """Every ten seconds: compare what the providers have, and what the gateways are told, with the database."""
    sweep_providers()
    repair_routes()


@shared_task(name="deployments.keep_watch")
def keep_watch_task() -> None:
    """Every five seconds: take back new versions that fail, switch on and off by schedule, end what has expired, follow billing."""
    follow_funding()
    watch_new_revisions()
    run_schedules()
    expire_deployments()


@shared_task(name="deployments.follow_funding")
def follow_funding_task() -> None:
    """When billing hints that a workspace can pay no more, or again."""
    follow_funding()


@shared_task(name="deployments.alert_operators")
def alert_operators_task() -> None:
    """Each minute: find what takes too long, is not charged or not heard, mail what is new, and compare all deployments with what billing says."""
    register_missing()
    settle_missing()
    compare_all()
    watch_meters()
    watch_payments()
    tell_overdue()
    mail_alerts()


@shared_task(name="deployments.tail_logs")
def tail_logs_task() -> None:
    """Each second: fetch new log lines of all replicas."""
    tail_logs()


@shared_task(name="deployments.keep_log_partitions")
def keep_log_partitions_task() -> None:
    """Every five minutes: make the log's partitions of the days to come, drop those whose lines are too old."""
    keep_log_partitions()


@shared_task(name="deployments.keep_usage_partitions")
def keep_usage_partitions_task() -> None:
    """Every hour: make the partitions of the runs of the months to come, drop those whose runs are too old."""
    keep_usage_partitions()
