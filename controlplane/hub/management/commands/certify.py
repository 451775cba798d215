"""`manage.py certify`: mark an algorithm of the public HUB as checked by the operators."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.common.errors import NotFound
from controlplane.hub.publishing import certify


class Command(BaseCommand):
    """Set or remove the certification of a published algorithm."""

    help = "Marks an algorithm of the public HUB as certified; with --revoke as certified no more."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name."""
        parser.add_argument("name", help="name of the algorithm in the public HUB")
        parser.add_argument("--revoke", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Certify."""
        try:
            hub = certify(name=options["name"], certified=not options["revoke"])
        except NotFound as error:
            raise CommandError(f"The public HUB has no algorithm '{options['name']}'. GET /v1/hub/ lists all.") from error
        self.stdout.write(f"{hub.name} is {'certified' if hub.certified else 'not certified any more'}")
