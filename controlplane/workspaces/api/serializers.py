"""Shapes of workspaces on the wire."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.urls import Resolver404, resolve
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.fields import ChoiceField, TextField, UrlField
from controlplane.audit.models import AuditEntry
from controlplane.workspaces.models import Namespace, Organization, Visibility
from controlplane.workspaces.roles import Role

ORGANIZATION_VISIBILITIES = [("PUBLIC", "Public"), ("TEAM", "Team")]


class OrganizationInput(serializers.Serializer[Any]):
    """An organization to create; null is as good as nothing."""

    name = TextField(max_length=60)
    description = TextField(max_length=10_000, allow_blank=True, allow_null=True, default="")
    homepage = serializers.URLField(max_length=300, allow_blank=True, allow_null=True, default="")
    location = TextField(max_length=100, allow_blank=True, allow_null=True, default="")
    visibility = ChoiceField(choices=ORGANIZATION_VISIBILITIES, allow_null=True, default="TEAM")


class OrganizationChange(serializers.Serializer[Any]):
    """What may change of an organization; the whole object may come back, read-only fields and nulls are ignored."""

    name = TextField(max_length=60, allow_null=True, required=False)
    description = TextField(max_length=10_000, allow_blank=True, allow_null=True, required=False)
    homepage = serializers.URLField(max_length=300, allow_blank=True, allow_null=True, required=False)
    location = TextField(max_length=100, allow_blank=True, allow_null=True, required=False)
    visibility = ChoiceField(choices=ORGANIZATION_VISIBILITIES, allow_null=True, required=False)


class OrganizationOutput(serializers.ModelSerializer[Organization]):
    """An organization."""

    url = UrlField("organization", organization_id="id")

    class Meta:
        model = Organization
        fields = ["url", "name", "description", "visibility", "location", "homepage", "created_at", "updated_at"]


class NamespaceInput(serializers.Serializer[Any]):
    """A sub-namespace to create; without a visibility it is the team's, in a personal workspace private."""

    name = TextField(max_length=100)
    visibility = ChoiceField(choices=Visibility.choices, allow_null=True, default=None)


class NamespaceChange(serializers.Serializer[Any]):
    """What may change of a namespace."""

    visibility = ChoiceField(choices=Visibility.choices)


class NamespaceOutput(serializers.ModelSerializer[Namespace]):
    """A namespace."""

    url = UrlField("namespace", namespace_id="id")

    class Meta:
        model = Namespace
        fields = ["url", "name", "path", "visibility"]


class RoleChange(serializers.Serializer[Any]):
    """A member's new role."""

    role = ChoiceField(choices=[(role.value, role.value) for role in Role])


@extend_schema_field(OpenApiTypes.URI)
class UserUrlField(serializers.Field[UUID, str, str, Any]):
    """A user, named by their address."""

    default_error_messages = {"invalid": "Give the 'url' of a user, as GET /v1/users/?username=… answers it."}

    def to_internal_value(self, data: Any) -> UUID:
        """Return the id that the address names."""
        try:
            match = resolve(urlsplit(data).path) if isinstance(data, str) else None
        except (Resolver404, ValueError):
            match = None
        if match is None or match.url_name != "user":
            self.fail("invalid")
        found: UUID = match.kwargs["user_id"]
        return found


class MemberInput(RoleChange):
    """A role to give."""

    user = UserUrlField()


class MemberOutput(serializers.Serializer[dict[str, str]]):
    """A member of a workspace or of something in it; `source` says where the role comes from."""

    url = serializers.URLField()
    username = serializers.CharField()
    role = ChoiceField(choices=[(role.value, role.value) for role in Role])
    source = serializers.CharField()  # type: ignore[assignment]


class RoleRowOutput(serializers.Serializer[dict[str, Any]]):
    """A row of the role table."""

    title = serializers.CharField()
    permissions = serializers.ListField(child=serializers.CharField())
    roles = serializers.DictField(child=serializers.BooleanField(), help_text="For each role whether it has all of these permissions.")
    public = serializers.BooleanField(help_text="Whether anyone with an account has them on what is public.")


class AuditOutput(serializers.ModelSerializer[AuditEntry]):
    """A line of the audit log; `digest` covers all of it and the `previous` one."""

    class Meta:
        model = AuditEntry
        fields = [
            "chain",
            "sequence",
            "at",
            "actor_id",
            "actor_name",
            "action",
            "kind",
            "target",
            "name",
            "address",
            "request_id",
            "credential",
            "details",
            "previous",
            "digest",
        ]
