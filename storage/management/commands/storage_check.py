"""`manage.py storage_check`: does the bucket hold what the database says?"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from controlplane.common.errors import Unavailable
from storage.check import Kind, Repairs, Totals, check_storage
from storage.management.naming import named_project

ADVICE = (
    "Objects without their bytes stay listed, and downloads of them answer 404. If there is a backup of the bucket, restore the named keys "
    "and check again. If not, 'storage_check --repair --forget-missing' deletes their rows."
)


class Command(BaseCommand):
    """A check that ends with 1 when something is wrong and not repaired."""

    help = "Compare bucket and database; it can run beside the service. Exit code 1: something is wrong and was not repaired."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what may be repaired."""
        parser.add_argument("--repair", action="store_true", help="remove bytes and parts without a row, write totals anew")
        parser.add_argument(
            "--forget-missing",
            action="store_true",
            help="with --repair: delete the rows of objects whose bytes are lost, which cannot be undone",
        )
        parser.add_argument("--project", help="a project's path or id; without it, everything is checked")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, and print each finding and what it comes to."""
        if options["forget_missing"] and not options["repair"]:
            raise CommandError("--forget-missing deletes rows: give --repair, too.")
        project_id = named_project(options["project"]).pk if options["project"] else None
        repairs = Repairs(repair=options["repair"], forget_missing=options["forget_missing"])
        totals, are_bytes_missing = Totals(), False
        try:
            for finding in check_storage(totals, project_id=project_id, repairs=repairs):
                self.stdout.write(str(finding))
                are_bytes_missing |= finding.kind is Kind.NO_BYTES and not finding.repaired
        except Unavailable as error:
            raise CommandError(f"{error.detail} The check is not complete.") from error
        self.stdout.write(f"{totals.objects} objects, {totals.size} bytes: {verdict(totals)}")
        if are_bytes_missing:
            self.stdout.write(ADVICE)
        if totals.unrepaired:
            sys.exit(1)


def verdict(totals: Totals) -> str:
    """Return what a check comes to."""
    if not totals.found:
        return "all is whole"
    if not totals.unrepaired:
        return f"{totals.found} findings, all repaired"
    return f"{totals.found} findings, {totals.unrepaired} not repaired"
