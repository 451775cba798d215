"""`manage.py storage_sweep`: what beat starts each 15 seconds, by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from storage.sweep import sweep


class Command(BaseCommand):
    """One sweep."""

    help = "Clear up abandoned uploads, expired objects and discarded bytes, and print how many. Safe beside other sweeps."

    def handle(self, *args: Any, **options: Any) -> None:
        """Sweep once."""
        self.stdout.write(str(sweep()))
