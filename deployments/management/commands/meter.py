"""`manage.py meter`: the process that charges."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from deployments.meter import Meter


class Command(BaseCommand):
    """Charges runs as they are reported and instances each minute, until it is told to end."""

    help = "Charge what is used, until SIGTERM or SIGINT. Several may run at once."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal comes."""
        meter = Meter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: meter.ending.set())
        self.stdout.write("meter ready.")
        self.stdout.flush()
        meter.run()
