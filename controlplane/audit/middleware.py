"""Notes the origin of each request for the audit log."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from controlplane.audit.origin import Origin, client_address, origin


class OriginMiddleware:
    """Stands right after `RequestIdMiddleware`, whose id it takes; authentication adds the credential later."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Keep the origin until the view has answered: the thread serves other requests afterwards."""
        request_id = str(request.META.get("slipway.request_id", ""))
        token = origin.set(Origin(address=client_address(request), request_id=request_id, credential=""))
        try:
            return self.get_response(request)
        finally:
            origin.reset(token)
