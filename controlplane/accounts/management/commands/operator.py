"""`manage.py operator <username>`: make somebody an operator, or no more."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.accounts.services import make_operator
from controlplane.common.errors import SlipwayError


class Command(BaseCommand):
    """Give or take the rights of an operator."""

    help = "Makes a user an operator: they read every audit log and see the operator console. --revoke takes it back."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name and --revoke."""
        parser.add_argument("username")
        parser.add_argument("--revoke", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it."""
        try:
            user = make_operator(username=options["username"], operator=not options["revoke"])
        except SlipwayError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{user.username} is {'an operator' if user.is_staff else 'no operator any more'}")
