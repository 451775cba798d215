"""`manage.py grant_credits`: give a workspace credits."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.amounts import micro_credits_of
from billing.balances import standing_of
from billing.management.naming import add_key, add_reason, key_of, named_workspace, parsed_moment, refusals
from billing.models.ledger import FOR_EVER
from billing.operating import give_credits
from billing.periods import months_after
from billing.pricing import credits_text
from controlplane.common import clock


class Command(BaseCommand):
    """Grant credits."""

    help = "Gives a workspace credits: grant_credits harbour 1,500 --reason 'agreement 12' --months 6"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take who, how many, why and how long."""
        parser.add_argument("workspace", help="name of the organization or the person")
        parser.add_argument("amount", help="credits, exact: 500, 1,234.5")
        add_reason(parser)
        lasts = parser.add_mutually_exclusive_group()
        lasts.add_argument("--months", type=int, help="valid for so many calendar months (default: for ever)")
        lasts.add_argument("--expires", help="valid until the start of this day (UTC), or until just before a moment")
        add_key(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant."""
        with refusals():
            amount, ends, key = micro_credits_of(options["amount"]), end_of(options), key_of(options)
            workspace = named_workspace(options["workspace"])
            grant, new = give_credits(workspace=workspace, amount=amount, key=key, reason=options["reason"], expires_at=ends)
        until = "for ever" if grant.expires_at == FOR_EVER else f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC"
        granted = f"{credits_text(grant.amount)} credits, valid {until}"
        what = f"{workspace.path} got {granted}." if new else f"Nothing changed: with this key {workspace.path} got {granted} before."
        balance = credits_text(standing_of(workspace.wallet.pk).balance)
        self.stdout.write(f"{what} It has {balance} credits now. Grant {grant.pk}, key {key}.")


def end_of(options: dict[str, Any]) -> datetime:
    """Return when the grant ends."""
    if options["expires"] is not None:
        return parsed_moment(options["expires"])
    months = options["months"]
    if months is None:
        return FOR_EVER
    if not 0 < months <= 1200:
        raise CommandError(f"--months is 1 to 1200, not {months}.")
    return months_after(clock.now(), months)
