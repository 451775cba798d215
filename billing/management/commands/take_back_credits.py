"""`manage.py take_back_credits`: take back what is left of a grant that was made by mistake."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.amounts import micro_credits_of
from billing.management.naming import add_key, add_reason, key_of, refusals
from billing.models import Grant, Unit
from billing.operating import operator_key, take_credits_back, workspace_of_wallet
from billing.pricing import credits_text


class Command(BaseCommand):
    """Take credits back."""

    help = "Takes credits of a grant back, which must not be spent yet: take_back_credits GRANT 500 --reason 'granted twice'"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take which, how many and why."""
        parser.add_argument("grant", help="id of the grant, or the key that it was granted with")
        parser.add_argument("amount", help="credits, exact: 500, 1,234.5")
        add_reason(parser)
        add_key(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Take back."""
        with refusals():
            amount, key, grant = micro_credits_of(options["amount"]), key_of(options), named_grant(options["grant"])
            entry, new = take_credits_back(grant=grant, amount=amount, key=key, reason=options["reason"])
        grant.refresh_from_db()
        path, taken = workspace_of_wallet(grant.wallet_id).path, credits_text(entry.amount)
        what = (
            f"{taken} credits were taken back from {path}."
            if new
            else f"Nothing changed: with this key {taken} credits were taken back before."
        )
        self.stdout.write(f"{what} Of the grant {credits_text(grant.amount - grant.spent)} credits are left. Key {key}.")


def named_grant(text: str) -> Grant:
    """Return the grant with this id or key. Raises `CommandError`."""
    rows = Grant.objects.filter(unit=Unit.MICRO_CREDIT)
    try:
        found = rows.filter(pk=UUID(text)).first()
    except ValueError:
        found = rows.filter(key__in=[text, operator_key(text)]).first()
    if not isinstance(found, Grant):
        raise CommandError(f"There is no grant '{text}'. grant_credits prints the id of each.")
    return found
