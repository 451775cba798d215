"""What Django checks before it starts: plans that the settings name must be there, and be for those who get them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import connections

from billing.models import Plan
from billing.plans import plan_rows

DATABASE = "default"
# Setting, field of a plan that says whether those who get it may have it, and who they are.
GIVEN = (("PERSONAL_PLAN", "personal", "people"), ("ORGANIZATION_PLAN", "organizations", "organizations"))
MORE = (
    "To have another plan, start with one of these, make it with `manage.py plans set CODE … --create --reason …`, then set its code. "
    "`manage.py plans` lists all."
)


def check_plan_settings(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return an error for each setting whose plan does not exist or is for others. Of an empty database, or without one, nothing is asked."""
    if DATABASE not in (databases or ()) or not there_are_plans():
        return []
    return list(faults())


def there_are_plans() -> bool:
    """Tell whether the database has come so far as to have plans."""
    connection = connections[DATABASE]
    with connection.cursor() as cursor:
        return Plan._meta.db_table in connection.introspection.table_names(cursor)


def faults() -> Iterator[CheckMessage]:
    """Yield what is wrong. A plan of plans.toml that is not there yet comes with `migrate`, which checks before it begins."""
    for number, (name, field, who) in enumerate(GIVEN, 1):
        given = getattr(settings, name)
        fits = {row["code"]: row.get(field, True) for row in plan_rows()} | dict(Plan.objects.using(DATABASE).values_list("code", field))
        if not given or fits.get(given):
            continue
        why = f"the plan of that code is not for {who}" if given in fits else "there is no plan of that code"
        fitting = ", ".join(sorted(code for code, fit in fits.items() if fit))
        yield Error(
            f"{name} is '{given}', but {why}.", hint=f"Set {name} to one of {fitting}, or to none. {MORE}", id=f"billing.E00{number}"
        )
