"""One id for each request, in the answer and in every error envelope."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from controlplane.common.ids import uuid7

ACCEPTED_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")


class RequestIdMiddleware:
    """Take the caller's `X-Request-Id` when it is plain text, else make one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Attach the id to the request and to its answer."""
        given = request.headers.get("X-Request-Id", "")
        request_id = given if ACCEPTED_ID.match(given) else str(uuid7())
        request.META["slipway.request_id"] = request_id
        response = self.get_response(request)
        response["X-Request-Id"] = request_id
        return response
