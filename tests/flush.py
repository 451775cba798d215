"""Emptying the database after a test whose commits are real: only the tables that have rows, and without asking anew what Django asks at each flush.

Django truncates all tables (half a second for 85 of them, with the partitions of the log) and makes content types and permissions again. Here
tables with rows lose them, with triggers and foreign keys asleep, as a superuser may; content types, permissions and the plans that an installation begins with stay.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from django.db import connections
from django.test import TransactionTestCase

KEPT = {"django_migrations", "django_content_type", "auth_permission", "billing_plan"}
TABLES = """
SELECT quote_ident(relname) FROM pg_class
WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace AND relname != ALL(%s)
"""


@cache
def which_have_rows(alias: str) -> str:
    """Return the question which tables have rows."""
    with connections[alias].cursor() as cursor:
        cursor.execute(TABLES, [list(KEPT)])
        names = [str(row[0]) for row in cursor.fetchall()]
    return " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)  # noqa: S608 - see below


def empty_database(alias: str) -> None:
    """Delete all rows of a database of tests."""
    with connections[alias].cursor() as cursor:
        cursor.execute(which_have_rows(alias))
        names = [str(row[0]) for row in cursor.fetchall()]
        if names:
            deletions = "; ".join(f"DELETE FROM {name}" for name in names)  # noqa: S608 - names of our own tables
            cursor.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {deletions}; COMMIT")


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> None:
    """Put it in the place of Django's flush, for this process."""

    def teardown(case: Any) -> None:
        for alias in case._databases_names(include_mirrors=False):
            empty_database(alias)

    TransactionTestCase._fixture_teardown = teardown  # type: ignore[attr-defined]
