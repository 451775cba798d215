"""Shapes of workspaces on the wire."""

from __future__ import annotations

from rest_framework import serializers

from controlplane.api.fields import UrlField
from controlplane.workspaces.models import Namespace
from controlplane.workspaces.roles import Role


class NamespaceOutput(serializers.ModelSerializer[Namespace]):
    """A namespace."""

    url = UrlField("namespace", namespace_id="id")

    class Meta:
        model = Namespace
        fields = ["url", "name", "path", "visibility"]


class MemberOutput(serializers.Serializer[dict[str, str]]):
    """A member of a workspace or of something in it; `source` says where the role comes from."""

    url = serializers.URLField()
    username = serializers.CharField()
    role = serializers.ChoiceField(choices=[(role.value, role.value) for role in Role])
    source = serializers.CharField()  # type: ignore[assignment]
