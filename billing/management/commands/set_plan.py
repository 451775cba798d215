"""`manage.py set_plan`: put a workspace on a plan without Stripe."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing.balances import standing_of
from billing.management.naming import add_reason, named_workspace, refusals
from billing.operating import assign_plan
from billing.plans import plan_by_code
from billing.pricing import credits_text


class Command(BaseCommand):
    """Assign a plan."""

    help = "Puts a workspace on a plan that it does not pay for here, such as one by agreement: set_plan harbour custom --reason 'agreement 12'"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take who, which and why."""
        parser.add_argument("workspace", help="name of the organization or the person")
        parser.add_argument("plan", help="code of the plan (manage.py plans lists them)")
        add_reason(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Assign."""
        with refusals():
            workspace, plan = named_workspace(options["workspace"]), plan_by_code(options["plan"])
            _, new = assign_plan(workspace=workspace, plan=plan, reason=options["reason"])
        balance = credits_text(standing_of(workspace.wallet.pk).balance)
        what = (
            f"{workspace.path} is on the plan {plan.name} ({plan.code}) now." if new else f"Nothing changed: it was on {plan.code} before."
        )
        self.stdout.write(f"{what} It has {balance} credits.")
