"""`manage.py audit_verify`: is every line of the audit log still there, unchanged and in its place?"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from controlplane.audit.models import INSTALLATION
from controlplane.audit.verification import Fault, Verification, differences


class Command(BaseCommand):
    """Exit status 1 when anything is wrong."""

    help = "Check the audit log: one line for each fault and exit status 1, or one line that says that it is whole."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--chain", type=chain_id, help="check one chain only: a workspace's id, or 'installation'")
        parser.add_argument("--against", type=Path, metavar="FILE", help="also look for every line of an earlier export")

    def handle(self, *args: Any, chain: UUID | None = None, against: Path | None = None, **options: Any) -> None:
        """Verify."""
        verification = Verification()
        found = 0
        # In a transaction rows come through a cursor as they are read; outside of one PostgreSQL would copy them all first.
        with transaction.atomic():
            for fault in itertools.chain(verification.faults(chain), missed(against)):
                found += 1
                self.stdout.write(str(fault))
        walked = f"{verification.entries} entries in {verification.chains} chains"
        if found:
            raise CommandError(f"{found} faults in {walked}")
        self.stdout.write(f"{walked} are whole")


def missed(export: Path | None) -> Iterator[Fault]:
    """Yield what an export has and the log has not. Raises `CommandError` for a file that is none."""
    if export is None:
        return
    try:
        with export.open("rb") as lines:
            yield from differences(lines)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{export} is no export of the audit log: {error}") from error


def chain_id(text: str) -> UUID:
    """Read a chain's id (argparse turns ValueError into a message)."""
    return INSTALLATION if text == "installation" else UUID(text)
