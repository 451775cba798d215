"""`manage.py correct_charge`: give back what was charged wrongly."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.amounts import micro_credits_of
from billing.management.naming import add_reason, refusals
from billing.models.ledger import FOR_EVER
from billing.operating import correct, workspace_of_wallet
from billing.pricing import credits_text


class Command(BaseCommand):
    """Correct a charge."""

    help = "Gives credits of one charge back, as another grant; the charge stays. Once for each charge: correct_charge 4711 12.5 --reason 'outage'"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take which, how many and why."""
        parser.add_argument("entry", type=int, help="id of the charge in the ledger")
        parser.add_argument("amount", help="credits, exact: 500, 1,234.5")
        add_reason(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Correct."""
        with refusals():
            grant, new = correct(entry_id=options["entry"], amount=micro_credits_of(options["amount"]), reason=options["reason"])
        path, amount, charge = workspace_of_wallet(grant.wallet_id).path, credits_text(grant.amount), options["entry"]
        until = "for ever" if grant.expires_at == FOR_EVER else f"until {grant.expires_at:%Y-%m-%d %H:%M} UTC"
        what = f"{path} got {amount} credits of charge {charge} back, valid {until}."
        before = f"Nothing changed: {amount} credits of charge {charge} were given back before."
        self.stdout.write(f"{what if new else before} Grant {grant.pk}.")
