"""What happens to deployments at set times: schedules that switch them on and off, and their expiry."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from django.db import transaction

from controlplane.common import clock
from controlplane.common.errors import InvalidInput
from deployments.models import Deployment, Schedule, ScheduleAction, StatusChange
from deployments.paying import take_start_back
from deployments.services import want_deletion
from deployments.states import DesiredState
from deployments.wakeups import wake_on_commit

logger = logging.getLogger(__name__)

STATES = {ScheduleAction.PAUSE: DesiredState.PAUSED, ScheduleAction.RESUME: DesiredState.RUNNING}
AT_ONCE = 200
LEAST_GAP = timedelta(minutes=5)


def next_time(cron: str, time_zone: str, *, after: datetime, least_gap: timedelta | None = None) -> datetime:
    """Return the first time of a cron line (minute, hour, day, month, weekday) after a moment, as the clocks of the time zone show it.

    Hours that daylight saving skips are made up for right after, hours that it repeats count once (as Debian's cron does it).
    Raises InvalidInput for a line or a zone that cannot be read, for a line that never comes, and for one that comes again within `least_gap`.
    """
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        detail = f"There is no time zone '{time_zone[:40]}'. Use a name such as Europe/Paris or UTC."
        raise InvalidInput("unknown_time_zone", detail, fields={"time_zone": [detail]}) from error
    if len(cron.split()) != 5:
        detail = f"'{cron[:60]}' is no cron line of five fields, such as '0 19 * * 1-5'."
        raise InvalidInput("bad_cron", detail, fields={"cron": [detail]})
    try:
        times = CronSim(cron, after.astimezone(zone))
        first, second = next(times), next(times)
    except (CronSimError, StopIteration) as error:
        detail = f"'{cron[:60]}' is no cron line that comes again: {error or 'it never comes'}. Write five fields, such as '0 19 * * 1-5'."
        raise InvalidInput("bad_cron", detail, fields={"cron": [detail]}) from error
    # In UTC: on the clocks of the zone an hour that comes twice would be no time at all.
    if least_gap is not None and second.astimezone(UTC) - first.astimezone(UTC) < least_gap:
        detail = f"'{cron[:60]}' comes more often than every {least_gap.seconds // 60} minutes."
        raise InvalidInput("bad_cron", detail, fields={"cron": [detail]})
    return first.astimezone(UTC)


def last_time(schedule: Schedule, now: datetime) -> datetime:
    """Return the last time of a schedule up to now; its `next_at` where that cannot be found."""
    try:
        times = CronSim(schedule.cron, (now + timedelta(seconds=1)).astimezone(ZoneInfo(schedule.time_zone)), reverse=True)
        return max(next(times).astimezone(UTC), schedule.next_at or now)
    except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError, OSError):
        return schedule.next_at or now


def run_schedules() -> int:
    """Apply every schedule whose time has come; returns how many.

    After a time without workers only the last of several missed times of each counts, in the order of those.
    """
    now = clock.now()
    done = 0
    due = list(Schedule.objects.filter(next_at__lte=now).order_by("next_at")[:AT_ONCE])
    for schedule in sorted(due, key=lambda one: last_time(one, now)):
        with transaction.atomic():
            held = (
                Schedule.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
                .filter(pk=schedule.pk, next_at__lte=now)
                .first()
            )
            if held is None:
                continue
            apply_schedule(held, now)
            done += 1
    return done


def apply_schedule(schedule: Schedule, now: datetime) -> None:
    """Want what the schedule says and set its next time; one that can never come again is left without."""
    wanted = STATES[ScheduleAction(schedule.action)]
    deployment = Deployment.objects.select_for_update(no_key=True).get(pk=schedule.deployment_id)
    if deployment.desired_state not in (wanted, DesiredState.DELETED):
        if wanted == DesiredState.PAUSED:
            take_start_back(deployment)
        deployment.desired_state = wanted
        deployment.generation += 1
        deployment.next_check_at = deployment.updated_at = now
        deployment.save(update_fields=["desired_state", "generation", "next_check_at", "updated_at"])
        wake_on_commit(deployment.pk)
    try:
        following: datetime | None = next_time(schedule.cron, schedule.time_zone, after=now)
    except InvalidInput:
        logger.warning("schedule %s has no next time", schedule.pk)
        following = None
    schedule.last_at, schedule.next_at, schedule.updated_at = schedule.next_at, following, now
    schedule.save(update_fields=["last_at", "next_at", "updated_at"])


def expire_deployments() -> int:
    """Ask for the end of every deployment whose time is over; returns how many."""
    now = clock.now()
    rows = Deployment.objects.filter(expires_at__lte=now).exclude(desired_state=DesiredState.DELETED)
    expired = 0
    for deployment in rows.order_by("expires_at")[:AT_ONCE]:
        with transaction.atomic():
            if rows.select_for_update(no_key=True).filter(pk=deployment.pk).exists() and want_deletion(deployment):
                expired += 1
                StatusChange.objects.create(
                    deployment=deployment,
                    before=deployment.status,
                    after=deployment.status,
                    generation=deployment.generation + 1,
                    reason_code="EXPIRED",
                    reason_detail=f"Its time was over at {deployment.expires_at:%Y-%m-%d %H:%M} UTC.",
                )
    return expired
