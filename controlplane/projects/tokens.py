"""Endpoint tokens of a project."""

from __future__ import annotations

from typing import Any

from controlplane.accounts.keys import endpoint_token, endpoint_token_life
from controlplane.accounts.models import User
from controlplane.common.errors import InvalidInput
from controlplane.projects.models import Project
from controlplane.workspaces.permissions import Permission, require


def project_token(*, actor: User, project: Project, storage: str) -> dict[str, Any]:
    """Return the answer of the token routes. Raises `PermissionDenied` for who may not call endpoints (or use the storage: "read" or "write") here."""
    require(actor, Permission.ENDPOINT_CONSUME, project)
    if storage:
        require(actor, Permission.STORAGE_USE, project)
    life = endpoint_token_life(issued_by=actor.credential)
    token = endpoint_token(user=actor, project_id=project.pk, storage=storage, issued_by=actor.credential, life=life)
    return {
        "access_token": token,
        "expires_in": int(life.total_seconds()),
        "token_type": "Bearer",
        "scope": "openid consume",
        "refresh_token": None,
        "id_token": token,
    }


def wants_storage(value: str | None) -> str:
    """Read the `storage` flag of a query: "write" for `true`, `True`, `1` or `write`, "read" for `read`, "" for none. Raises `InvalidInput`."""
    known = dict.fromkeys(("false", "0", "no"), "") | dict.fromkeys(("true", "1", "yes", "write"), "write") | {"read": "read"}
    wanted = known.get((value or "false").lower())
    if wanted is None:
        raise InvalidInput("invalid", "Give `storage` as true, read or false.", fields={"storage": ["true, read or false"]})
    return wanted
