"""`manage.py allow_publishing`: let a workspace publish to the public HUB."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.common.errors import NotFound
from controlplane.workspaces.services import allow_publishing


class Command(BaseCommand):
    """Give or take the permission to publish."""

    help = "Lets a workspace (a person's or an organization's) publish algorithms to the public HUB; with --revoke no more."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the workspace."""
        parser.add_argument("workspace", help="name of the organization or the person")
        parser.add_argument("--revoke", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Allow."""
        try:
            namespace = allow_publishing(path=options["workspace"], allowed=not options["revoke"])
        except NotFound as error:
            raise CommandError(f"There is no workspace '{options['workspace']}'.") from error
        self.stdout.write(f"{namespace.path} may {'now' if namespace.may_publish else 'no longer'} publish to the public HUB")
