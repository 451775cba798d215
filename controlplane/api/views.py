"""Views with declared permissions: a method that a view does not declare is denied."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.views import APIView

from controlplane.api.permissions import Access

__all__ = ["Access", "WorkspaceView", "no_content", "validated"]


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
