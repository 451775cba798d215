"""What may be read of workspaces."""

from __future__ import annotations

from uuid import UUID

from controlplane.accounts.models import User
from controlplane.workspaces.models import Membership
from controlplane.workspaces.querysets import bound_project
from controlplane.workspaces.roles import ROLE_TABLE, Permission, Role


def audited_chains(actor: User) -> set[UUID] | None:
    """Return the workspaces whose audit log the actor reads: their own and those that they own; None means all, for operators."""
    if bound_project(actor) is not None:
        return set()
    if actor.is_staff:
        return None
    able = [role for role in Role if Permission.AUDIT_READ in ROLE_TABLE[role]]
    rows = Membership.objects.filter(user=actor, kind=Membership.Kind.ORGANIZATION, role__in=able)
    return {actor.pk, *rows.values_list("organization_id", flat=True)}
