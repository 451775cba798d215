"""What the audit tests have in common: people without accounts, lines, and hands that get past the triggers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from controlplane.audit.models import AuditEntry, AuditHead
from controlplane.audit.services import record
from controlplane.audit.verification import Verification
from controlplane.common.ids import uuid7

FIRST, SECOND = UUID("0190a000-0000-7000-8000-0000000000c1"), UUID("0190a000-0000-7000-8000-0000000000c2")


@dataclass
class Person:
    """All that the log wants of a user."""

    username: str = "ines"
    pk: UUID = field(default_factory=uuid7)


def write(chain: UUID | None = FIRST, **changes: Any) -> AuditEntry:
    """Append a line and return it."""
    line = {"actor": Person(), "action": "project.create", "kind": "project", "target": uuid7(), "name": "ines/quay", "chain": chain}
    record(**{**line, **changes})
    return AuditEntry.objects.filter(chain=chain or UUID(int=0)).latest("sequence")


def faults(chain: UUID | None = None) -> list[str]:
    """Return what verification says."""
    return [str(fault) for fault in Verification().faults(chain)]


@contextmanager
def without_triggers():
    """Be someone who owns the tables; the triggers are back afterwards."""
    tables = [model._meta.db_table for model in (AuditEntry, AuditHead)]
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
