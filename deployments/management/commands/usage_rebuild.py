"""`manage.py usage_rebuild`: write the sums of usage anew from the runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandParser

from deployments.usage_partitions import first_whole_day
from deployments.usage_sums import rebuild_sums


class Command(BaseCommand):
    """A repair: sums are written with the runs and need it only after rows were changed by hand or by an older version."""

    help = "Write the sums of usage (by minute, hour and day) anew from the runs. It can run beside the service, which waits for each day."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the period and the deployment."""
        parser.add_argument("--from", dest="since", type=day, help="the first day (UTC, 2026-03-02); all if left out")
        parser.add_argument("--to", dest="until", type=day, help="the last day")
        parser.add_argument("--deployment", type=UUID, help="the id of one deployment; all if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        """Go through the days, telling each."""
        total = 0
        for first, count in rebuild_sums(since=options["since"], until=options["until"], deployment_id=options["deployment"]):
            self.stdout.write(f"{first:%Y-%m-%d}: {count} sums")
            total += count
        self.stdout.write(f"{total} sums written")
        if kept_from := first_whole_day():
            self.stdout.write(f"Days before {kept_from:%Y-%m-%d} stay as they are: runs of them are gone (USAGE_RETENTION_DAYS).")


def day(text: str) -> datetime:
    """Return the midnight (UTC) that a date begins with. Raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
