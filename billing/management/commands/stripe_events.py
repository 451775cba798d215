"""`manage.py stripe_events`: events of Stripe's that wait, and another try."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.models import StripeEvent
from billing.stripe.access import payments_configured
from billing.stripe.events import act_on_events, make_due
from controlplane.common import clock


class Command(BaseCommand):
    """Lists the events that nobody has acted on yet, or acts on them."""

    help = "List Stripe's events that wait, the oldest first; --now acts on all of them at once instead of when each is due."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take whether to act."""
        parser.add_argument("--now", action="store_true", help="act on them now")

    def handle(self, *args: Any, **options: Any) -> None:
        """Act if told to, then list."""
        if options["now"]:
            if not payments_configured():
                raise CommandError("Set STRIPE_SECRET_KEY for this command, as the workers have it: without it nobody can be asked.")
            make_due()
            done, due = 0, True
            while due:
                done += act_on_events()
                due = StripeEvent.objects.filter(done_at=None, next_try_at__lte=clock.now()).exists()
            self.stdout.write(f"{done} done.")
        rows = StripeEvent.objects.filter(done_at=None).order_by("received_at", "pk")
        for event in rows:
            when = f"next {event.next_try_at:%Y-%m-%d %H:%M}" if event.next_try_at else "not due"
            self.stdout.write(
                f"{event.received_at:%Y-%m-%d %H:%M}  {event.pk}  {event.type}  {event.customer}  tries {event.attempts}, {when}\n    {event.error or '-'}"
            )
        if not rows:
            self.stdout.write("No event waits.")
