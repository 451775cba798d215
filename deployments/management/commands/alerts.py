"""`manage.py alerts`: what operators have to look at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.common import clock
from deployments.models import Alert


class Command(BaseCommand):
    """Lists alerts, or clears one by hand."""

    help = "List open alerts, the oldest first; --all shows the cleared ones too, --clear ID takes one off the list."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to show or to clear."""
        parser.add_argument("--all", action="store_true", help="cleared ones too")
        parser.add_argument("--clear", metavar="ID", help="take this alert off the list; it comes back if its cause goes on")

    def handle(self, *args: Any, **options: Any) -> None:
        """Clear if told to, then list."""
        if options["clear"]:
            self.clear(options["clear"])
        rows = Alert.objects.order_by("created_at")
        if not options["all"]:
            rows = rows.filter(cleared_at=None)
        for alert in rows:
            state = f"cleared {alert.cleared_at:%Y-%m-%d %H:%M}" if alert.cleared_at else "open"
            self.stdout.write(f"{alert.created_at:%Y-%m-%d %H:%M}  {alert.kind}  {alert.subject}  {state}  {alert.pk}\n    {alert.detail}")
        if not rows:
            self.stdout.write("No alerts.")

    def clear(self, text: str) -> None:
        """Clear one alert."""
        now = clock.now()
        try:
            done = Alert.objects.filter(pk=UUID(text), cleared_at=None).update(cleared_at=now, updated_at=now)
        except ValueError:
            done = 0
        if not done:
            raise CommandError(f"There is no open alert '{text}'. `manage.py alerts` shows the ids.")
