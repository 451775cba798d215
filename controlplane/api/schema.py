"""What drf-spectacular cannot see: the error envelope of every operation."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, inline_serializer
from rest_framework import serializers
from rest_framework.utils.formatting import camelcase_to_spaces

from controlplane.api.idempotency.asking import HEADER, KEY_RULE, LONGEST, METHODS

ENVELOPE: dict[str, Any] = {
    "type": "object",
    "required": ["code", "detail", "request_id"],
    "properties": {
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "What happened and what to do."},
        "fields": {"type": "object", "additionalProperties": True, "description": "For each input: what is wrong with it."},
        "request_id": {"type": "string", "description": "Give it to the operator when you ask for help."},
    },
    "example": {
        "code": "not_found",
        "detail": "There is no such project, or you cannot see it.",
        "request_id": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11",
    },
}
MEANINGS = {
    "400": "The input is not right: `detail` and `fields` say what and where.",
    "401": "No token, or one that is wrong, revoked or expired.",
    "403": "You see it, but your role does not allow this.",
    "404": "It does not exist, or you cannot see it.",
    "405": "The route has no such method.",
    "409": "Its present state forbids this, or a request with this Idempotency-Key is being worked on.",
    "413": "The body, or what would be stored with it, is too large.",
    "415": "The body is of another media type than the route takes.",
    "422": "The Idempotency-Key came with another request before.",
}
IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": f"^{KEY_RULE.pattern}$"},
    OpenApiParameter.HEADER,
    description="A new UUID for each thing to be done. The same request with the same key within 24 hours is not carried out again: it gets the "
    "same reply, with `Idempotency-Replayed: true`.",
)


class Schema(AutoSchema):
    """Group operations by the room that their path begins with; name them after their views."""

    def get_operation_id(self) -> str:
        """Return method and view, such as `get_project_list`."""
        return "_".join([self.method, *camelcase_to_spaces(type(self.view).__name__).split()]).lower()

    def get_override_parameters(self) -> list[Any]:
        """Return what every operation that changes something takes."""
        return [IDEMPOTENCY_KEY] if self.method in METHODS else []

    def get_tags(self) -> list[str]:
        """Return the first word of the path after `/v1/`."""
        words = [word for word in self.path.split("/") if word and not word.startswith("{")]
        return [words[1] if len(words) > 1 else words[0]]


def describe_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the envelope as a component and the refusals that every operation can give."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ENVELOPE
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            statuses = ["400", "405"]
            if {} not in operation.get("security", [{}]):
                statuses += ["401", "403"]
            if "{" in path or method == "post":
                statuses.append("404")
            if method in {"post", "put", "patch", "delete"}:
                statuses += ["409", "415", "422"]
            if "requestBody" in operation:
                statuses.append("413")
            for status in statuses:
                operation["responses"].setdefault(status, error_response(status))
    return result


def error_response(status: str) -> dict[str, Any]:
    """Return the OpenAPI response object of a refusal."""
    return {"description": MEANINGS[status], "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}


@cache
def page_of(serializer: type[serializers.BaseSerializer[Any]]) -> Any:
    """Return the schema of a page of rows: `{count, next, previous, results}`."""
    name = serializer.__name__.removesuffix("Output") + "Page"
    fields: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        "count": serializers.IntegerField(help_text="Over all pages."),
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": serializer(many=True),
    }
    return inline_serializer(name, fields)


def page_example(row: dict[str, Any]) -> OpenApiExample:
    """Return the example of a page with one row."""
    return OpenApiExample(
        "A page", {"count": 1, "next": None, "previous": None, "results": [row]}, response_only=True, status_codes=["200"]
    )
