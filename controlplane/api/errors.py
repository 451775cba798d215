"""The one error envelope: `{"code", "detail", "fields"?, "request_id"}`."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from controlplane.common.errors import SlipwayError

logger = logging.getLogger(__name__)

CODES = {
    exceptions.ParseError: "malformed",
    exceptions.NotAuthenticated: "not_authenticated",
    exceptions.AuthenticationFailed: "not_authenticated",
    exceptions.PermissionDenied: "permission_denied",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.Throttled: "too_many_requests",
}


def envelope(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception of a view into the envelope; None lets Django answer 500 (its own handler makes the envelope too)."""
    request = context.get("request")
    request_id = request_id_of(request)
    if isinstance(error, SlipwayError):
        answer = Response(body(error.code, error.detail, request_id, error.fields), status=error.status)
        if wait := getattr(error, "retry_after", None):
            answer["Retry-After"] = str(wait)
    elif isinstance(error, exceptions.ValidationError):
        answer = Response(body("invalid", "Some fields are not right: see 'fields'.", request_id, flat_fields(error.detail)), status=400)
    elif isinstance(error, exceptions.APIException):
        answer = Response(body(CODES.get(type(error), "error"), str(error.detail), request_id, None), status=error.status_code)
        for name, value in headers_of(error).items():
            answer[name] = value
    elif isinstance(error, Http404):
        answer = Response(body("not_found", "There is nothing here that you can see.", request_id, None), status=404)
    elif isinstance(error, DjangoPermissionDenied):
        answer = Response(body("permission_denied", "You may not do this.", request_id, None), status=403)
    else:
        return None
    if answer.status_code == 401:
        view = context.get("view")
        answer["WWW-Authenticate"] = (view.get_authenticate_header(request) if view else None) or "Token"
    set_rollback()
    return answer


def headers_of(error: exceptions.APIException) -> dict[str, str]:
    """Return the headers that an APIException asks for."""
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined]
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait) + 1)
    return headers


def body(code: str, detail: str, request_id: str, fields: Any) -> dict[str, Any]:
    """Return the envelope as a dictionary; `fields` only when there are some."""
    content: dict[str, Any] = {"code": code, "detail": detail, "request_id": request_id}
    if fields:
        content["fields"] = fields
    return content


def flat_fields(detail: Any) -> dict[str, list[str]]:
    """Return `{field: [messages]}` of DRF's nested validation detail; what belongs to no field stands under `_`."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for name, inner in detail.items():
            key = "_" if name == "non_field_errors" else str(name)
            if isinstance(inner, dict):
                found.update({f"{key}.{below}": messages for below, messages in flat_fields(inner).items()})
            else:
                found[key] = [str(message) for message in inner]
        return found
    return {"_": [str(message) for message in detail]}


def request_id_of(request: Any) -> str:
    """Return the id that the middleware gave to a Django or DRF request."""
    meta = getattr(request, "META", None) or {}
    return str(meta.get("slipway.request_id", ""))


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer an unknown path."""
    hint = "" if request.path.endswith("/") else " Paths end in '/'."
    return JsonResponse(
        body("not_found", f"There is no '{request.path}' here.{hint} The routes are listed at /docs/.", request_id_of(request), None),
        status=404,
    )


def server_error(request: HttpRequest) -> JsonResponse:
    """Answer a fault of ours without telling its insides; the log has them under the same request id."""
    request_id = request_id_of(request)
    logger.error("request %s failed: %s %s", request_id, request.method, request.path)
    return JsonResponse(
        body("internal", "This is a fault of the service. Try again; if it stays, give the request_id to the operator.", request_id, None),
        status=500,
    )


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer a request that Django itself refuses (an unknown host, for instance)."""
    return JsonResponse(
        body("bad_request", "The request cannot be handled: check its Host and its form.", request_id_of(request), None), status=400
    )
