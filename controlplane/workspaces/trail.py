"""Lines of the audit log about workspaces and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from controlplane.accounts.models import User
from controlplane.audit.services import record

LONGEST_VALUE = 100


class Audited(Protocol):
    """Something with an id and a path."""

    pk: Any

    @property
    def path(self) -> str:
        """Its full path."""


def note(actor: User | None, action: str, target: Audited, *, workspace: UUID, name: str = "", **details: Any) -> None:
    """Write who did what to which object into its workspace's chain; call it last in the transaction of the change.

    `action` is `<kind>.<verb>`; `details` are JSON values, never secrets.
    """
    kind = action.partition(".")[0]
    record(actor=actor, action=action, kind=kind, target=target.pk, name=name or target.path, chain=workspace, details=details)


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, list[str] | str]:
    """Return what an edit changed: former and new value of short fields, of long ones only that they changed."""
    found: dict[str, list[str] | str] = {}
    for field, value in after.items():
        if before[field] != value:
            found[field] = [before[field], value] if max(len(before[field]), len(value)) <= LONGEST_VALUE else "changed"
    return found
