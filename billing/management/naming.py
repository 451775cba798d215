"""What operators write on the command line: workspaces, plans' values, keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from billing.operating import Workspace, workspace_of
from controlplane.common.errors import SlipwayError
from controlplane.workspaces.models import Namespace


@contextmanager
def refusals() -> Iterator[None]:
    """Turn refusals into what commands end with: one sentence."""
    try:
        yield
    except SlipwayError as error:
        raise CommandError(error.detail) from error


def named_workspace(text: str) -> Workspace:
    """Return the workspace of a person or an organization by its name. Raises `CommandError`."""
    root = Namespace.objects.select_related("owner", "organization").filter(parent=None, path__iexact=text.strip("/")).first()
    if root is None:
        raise CommandError(f"There is no workspace '{text}'. Give the name of a person or of an organization.")
    return workspace_of(root)


def parsed_moment(text: str) -> datetime:
    """Return the moment of "2027-01-31" (its start in UTC) or "2027-01-31T12:00Z". Raises `CommandError`."""
    try:
        found: date | datetime | None = parse_datetime(text) or parse_date(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"'{text}' is no date. Write it like 2027-01-31 or 2027-01-31T12:00Z.")
    moment = found if isinstance(found, datetime) else datetime.combine(found, time())
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def add_reason(parser: CommandParser) -> None:
    """Take the reason that the audit log and the ledger keep."""
    parser.add_argument("--reason", required=True, help="why; kept in the audit log")


def add_key(parser: CommandParser) -> None:
    """Take a key that makes the command's effect happen once."""
    parser.add_argument(
        "--key", default="", help="the command again with the same key changes nothing (default: a new one, which is printed)"
    )


def key_of(options: dict[str, Any]) -> str:
    """Return the key that was given, or a new one."""
    given: str = options["key"]
    return given or secrets.token_hex(8)
