"""`manage.py deactivate <username>`: shut somebody out, or let them in again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.accounts.access import set_active
from controlplane.common.errors import SlipwayError


class Command(BaseCommand):
    """Close an account, or open it again."""

    help = "Shuts a user out: ends all sessions, API tokens and endpoint tokens. What they have stays. --restore lets them sign in again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name and --restore."""
        parser.add_argument("username")
        parser.add_argument("--restore", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it."""
        try:
            user = set_active(username=options["username"], active=options["restore"])
        except SlipwayError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{user.username} {'may sign in again and make new tokens' if user.is_active else 'is shut out'}")
