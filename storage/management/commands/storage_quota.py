"""`manage.py storage_quota`: how much a project may store."""

from __future__ import annotations

import re
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from storage.errors import UNITS, readable_size
from storage.management.naming import named_project
from storage.space import locked_space, space_use

FACTORS = {"B": 1, **{unit: 1000**power for power, unit in enumerate(UNITS) if power}} | {
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
LARGEST = 2**63 - 1


class Command(BaseCommand):
    """Shows or sets a quota."""

    help = "Show what a project stores and may store, or set it: storage_quota team/quay 50GB; 'default' takes the plan's quota again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take a project and a size."""
        parser.add_argument("project", help="the project's path or id")
        parser.add_argument("size", nargs="?", help="such as 500MB, 50GB, 1.5TB, 64GiB or bytes; or 'default'")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set the quota if one is given; print what holds."""
        project, text = named_project(options["project"]), options["size"]
        if text is not None:
            quota = None if text == "default" else parsed_size(text)
            with transaction.atomic():
                space = locked_space(project.pk)
                space.quota_bytes = quota
                space.save(update_fields=["quota_bytes"])
        use = space_use(project.pk)
        self.stdout.write(
            f"{project.path}: {readable_size(use.used_bytes)} of {readable_size(use.quota_bytes)} in {use.count} objects, "
            f"{readable_size(use.reserved_bytes)} reserved by uploads"
        )


def parsed_size(text: str) -> int:
    """Return bytes: "50GB" is 50 * 1000**3, "64GiB" 64 * 2**30. Raises `CommandError`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
    factor = FACTORS.get((found[2] or "B").upper()) if found else None
    if found is None or factor is None or (size := int(float(found[1]) * factor)) > LARGEST:
        raise CommandError(f"'{text}' is no size. Give bytes, or a number with one of KB, MB, GB, TB, KiB, MiB, GiB, TiB.")
    return size
