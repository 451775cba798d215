"""`manage.py plans`: show and change what can be bought."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import models

from billing.amounts import micro_credits_of
from billing.management.naming import add_reason, refusals
from billing.models import Plan
from billing.plan_edits import EDITABLE, edit_plan
from billing.pricing import credits_text

NONE = "none"
YES_NO = {"yes": True, "true": True, "no": False, "false": False}
FACTORS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


class Command(BaseCommand):
    """List plans, or change one."""

    help = "Lists all plans; changes one: plans set starter-monthly max_projects=20 calls_a_minute=none --reason 'spring offer'"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to do."""
        below = parser.add_subparsers(dest="action")
        change = below.add_parser("set", help="change a plan, or make one")
        change.add_argument("code", help="code of the plan")
        change.add_argument("values", nargs="+", metavar="field=value", help=f"one of {', '.join(sorted(EDITABLE))}; 'none' is no limit")
        change.add_argument("--create", action="store_true", help="make the plan if there is none of this code")
        add_reason(change)

    def handle(self, *args: Any, **options: Any) -> None:
        """List or change."""
        if options["action"] != "set":
            for plan in Plan.objects.order_by("rank", "code"):
                self.stdout.write(line_of(plan))
            return
        with refusals():
            changes = dict(parsed(one) for one in options["values"])
            edit = edit_plan(code=options["code"], reason=options["reason"], create=options["create"], **changes)
        for name, (before, after) in sorted(edit.changed.items()):
            self.stdout.write(
                f"{edit.plan.code}: {name} is {shown(name, after)}" + ("." if edit.made else f", it was {shown(name, before)}.")
            )
        self.stdout.write(
            f"{'Made' if edit.made else 'Now'}: {line_of(edit.plan)}" if edit.changed else f"Nothing changed: {line_of(edit.plan)}"
        )


def line_of(plan: Plan) -> str:
    """Return a plan in one line."""
    lasts = f"{plan.validity_months} months" if plan.validity_months else "for ever"
    gives = f"{credits_text(plan.credits)} credits" + (f" and {plan.hits} free runs" if plan.hits else "")
    quotas = ("projects", "algorithms", "workflows", "deployments")
    limits = [f"{name} {shown('', getattr(plan, f'max_{name}'))}" for name in quotas]
    whose = [name for name, is_for in (("persons", plan.personal), ("organizations", plan.organizations)) if is_for]
    return (
        f"{plan.code} ({plan.name}, rank {plan.rank}): {plan.price_cents / 100:.2f} {plan.currency} {plan.get_interval_display()}, {gives}, valid "
        f"{lasts}; {', '.join(limits)}, storage {shown('storage_bytes', plan.storage_bytes)} a project, "
        f"{shown('', plan.calls_a_minute)} runs a minute; on {', '.join(plan.infrastructures) or 'nothing'}; for {' and '.join(whose) or 'nobody'}; "
        f"{'offered' if plan.offered else 'not offered'}{', never stopped' if plan.unmetered else ''}"
    )


def shown(name: str, value: Any) -> str:
    """Return a value as people read it."""
    if value is None:
        return "without limit"
    if name == "credits":
        return f"{credits_text(value)} credits"
    if name == "storage_bytes":
        return f"{value:,} bytes"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)


def parsed(text: str) -> tuple[str, Any]:
    """Return field and value of "max_projects=20". Raises `CommandError`; which values a plan can have its service knows."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"'{text}' is not of the form field=value.")
    if name not in EDITABLE:
        raise CommandError(f"A plan has no {name} that can be changed. It has: {', '.join(sorted(EDITABLE))}.")
    field = Plan._meta.get_field(name)
    if isinstance(field, models.Field) and field.null and value.lower() == NONE:
        return name, None
    return name, reader_of(name, field)(value)


def reader_of(name: str, field: Any) -> Callable[[str], Any]:
    """Return what reads the values of a field."""
    if name == "credits":
        return micro_credits_of
    if name == "storage_bytes":
        return bytes_of
    if isinstance(field, models.BooleanField):
        return yes_or_no
    if isinstance(field, models.JSONField):
        return lambda text: [one.strip() for one in text.split(",") if one.strip()]
    return whole_number if isinstance(field, models.IntegerField) else str


def whole_number(text: str) -> int:
    """Return the number. Raises `CommandError`."""
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise CommandError(f"'{text}' is no whole number.")
    return int(text)


def yes_or_no(text: str) -> bool:
    """Return the answer. Raises `CommandError`."""
    if text.lower() not in YES_NO:
        raise CommandError(f"'{text}' is neither yes nor no.")
    return YES_NO[text.lower()]


def bytes_of(text: str) -> int:
    """Return the bytes of "10GB" (10 * 1000**3). Raises `CommandError`."""
    found = re.fullmatch(r"(\d{1,15})\s*([A-Za-z]*)", text, re.ASCII)
    if found is None or found[2].upper() not in FACTORS:
        raise CommandError(f"'{text}' is no size. Write bytes, or a number with KB, MB, GB or TB.")
    return int(found[1]) * FACTORS[found[2].upper()]
