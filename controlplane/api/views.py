"""Views with declared permissions: a method that a view does not declare is denied."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
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
    """Default deny: the view must name the method in `permissions`; all but `Access.ANYONE` needs a signed-in user."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the method is declared and, unless it is open to anyone, the caller is known."""
        declared: Mapping[str, Enum] = getattr(view, "permissions", {})
        needed = declared.get(request.method or "")
        if request.method == "OPTIONS" or needed is Access.ANYONE:
            return True
        return needed is not None and bool(request.user and request.user.is_authenticated)


class WorkspaceView(APIView):
    """A view of the API. `permissions` maps each method to `Access` or to a permission that the service then checks on the object."""

    permissions: ClassVar[Mapping[str, Enum]] = {}


def validated(serializer: type[serializers.Serializer[Any]], data: Any, **options: Any) -> dict[str, Any]:
    """Return the checked input, or raise DRF's ValidationError, which becomes a 400 with `fields`."""
    checked = serializer(data=data, **options)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def no_content() -> HttpResponse:
    """Answer 204 with a content type: clients that parse the header of an empty answer need one."""
    return HttpResponse(status=204, content_type="text/plain")
