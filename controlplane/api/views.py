"""Views with declared permissions: a method that a view does not declare is denied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from controlplane.api.idempotency.guard import guard_handler, plain_chunks
from controlplane.api.permissions import Access

__all__ = ["Access", "WorkspaceView", "no_content", "validated"]


class WorkspaceView(APIView):
    """A view of the API. `permissions` maps each method to `Access` or to a permission that the service then checks on the object.

    `replies_in_transaction`: with an `Idempotency-Key` the handler and the keeping of its reply are one transaction, so that whatever dies
    leaves both or none. A view whose handler talks to the object store, or to any other server, sets it False.
    """

    permissions: ClassVar[Mapping[str, Enum]] = {}
    replies_in_transaction: ClassVar[bool] = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in who may call; then see whether the request has a key."""
        super().initial(request, *args, **kwargs)
        guard_handler(self, request)

    def caller_of(self, request: Request) -> str:
        """Return whose keys a request uses: the person's, one set for each reach of their tokens; nobody's are those of their address."""
        if not request.user.is_authenticated:
            return f"address {request.META.get('REMOTE_ADDR', '')}"
        scopes, project = getattr(request.auth, "scopes", None), getattr(request.auth, "project_id", None)
        return f"user {request.user.pk} {'all' if scopes is None else ','.join(sorted(scopes))} {project or 'everywhere'}"

    def body_chunks(self, request: Request) -> Iterator[bytes]:
        """Yield a streamed body that is only compared with one that came before."""
        return plain_chunks(request)


def validated(serializer: type[serializers.Serializer[Any]], data: Any, **options: Any) -> dict[str, Any]:
    """Return the checked input, or raise DRF's ValidationError, which becomes a 400 with `fields`."""
    checked = serializer(data=data, **options)
    checked.is_valid(raise_exception=True)
    return dict(checked.validated_data)


def no_content() -> HttpResponse:
    """Answer 204 with a content type: clients that parse the header of an empty answer need one."""
    return HttpResponse(status=204, content_type="text/plain")
