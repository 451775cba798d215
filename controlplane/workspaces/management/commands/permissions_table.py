"""`manage.py permissions_table`: the generated part of docs/permissions.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from controlplane.workspaces.matrix import BEGIN, END, markdown


class Command(BaseCommand):
    """Print the tables of roles, permissions and scopes."""

    help = "Prints the tables of roles, permissions and scopes; with --write puts them into docs/permissions.md."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take --write."""
        parser.add_argument("--write", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print or write."""
        if not options["write"]:
            self.stdout.write(markdown())
            return
        path = Path(settings.BASE_DIR) / "docs" / "permissions.md"
        text = path.read_text()
        path.write_text(text[: text.index(BEGIN)] + markdown() + text[text.index(END) + len(END) :])
