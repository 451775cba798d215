"""Default deny: a method that a view does not declare is refused.

This module imports nothing of DRF's views: DRF loads it while it defines them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, cast

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from controlplane.common.credentials import Credential, check_scope

if TYPE_CHECKING:
    from rest_framework.views import APIView


class Access(Enum):
    """Who may call a method when no object decides: everyone, or everyone with a valid token."""

    ANYONE = "anyone"
    SIGNED_IN = "signed in"


class Anyone(BasePermission):
    """Lets everyone in (the API description)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Return True."""
        return True


class DeclaredPermission(BasePermission):
    """Default deny: the view must name the method in `permissions`; all but `Access.ANYONE` needs a signed-in user.

    A credential with scopes must cover the scope of what is declared. A method without a handler passes, to be told as 405 by the view.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the method is declared and, unless it is open to anyone, the caller is known."""
        method = request.method or ""
        declared: Mapping[str, Enum] = getattr(view, "permissions", {})
        needed = declared.get("GET" if method == "HEAD" else method)
        if method == "OPTIONS" or needed is Access.ANYONE or not hasattr(view, method.lower()):
            return True
        if needed is None or not (request.user and request.user.is_authenticated):
            return False
        check_scope(cast("Credential | None", request.auth), scope_of(needed, method))
        return True


def scope_of(needed: Enum, method: str) -> str:
    """Return the scope that a declared permission belongs to; what is only for signed-in callers is reading or administration."""
    return str(getattr(needed, "scope", "read" if method in SAFE_METHODS else "admin"))
