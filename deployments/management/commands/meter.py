"""`manage.py meter`: the process that charges."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from deployments.meter import Meter

logger = logging.getLogger(__name__)


def end_at_once(fault: threading.ExceptHookArgs) -> None:
    """End the process when one of its threads breaks: the others would wait for it for ever, and the next process loses nothing."""
    logger.critical("%s broke", fault.thread.name if fault.thread else "a thread", exc_info=fault.exc_value)
    logging.shutdown()
    os._exit(1)


class Command(BaseCommand):
    """Charges runs as they are reported and instances each minute, until it is told to end."""

    help = "Charge what is used, until SIGTERM or SIGINT. Several may run at once."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until a signal comes."""
        meter = Meter()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: meter.ending.set())
        threading.excepthook = end_at_once
        self.stdout.write("meter ready.")
        self.stdout.flush()
        try:
            meter.run()
        except Exception as error:
            # Its other threads would hold the process for ever, and charge no instance.
            end_at_once(threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread())))
