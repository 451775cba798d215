"""Shapes of accounts on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.scopes import MEANING, Scope
from controlplane.api.fields import ChoiceField, IdField, TextField, UrlField, absolute_url

TEN_YEARS = 10 * 365 * 24 * 3600


class SignUpInput(serializers.Serializer[Any]):
    """What a sign-up sends."""

    username = TextField(max_length=60)
    email = serializers.EmailField(max_length=254)
    password = TextField(max_length=200, trim_whitespace=False, style={"input_type": "password"})


class UserOutput(serializers.ModelSerializer[User]):
    """A user as everyone with an account sees them: no address."""

    url = UrlField("user", user_id="id")

    class Meta:
        model = User
        fields = ["url", "username", "first_name", "last_name"]


class ProfileOutput(serializers.ModelSerializer[User]):
    """What a profile tells."""

    url = serializers.CharField(source="homepage")

    class Meta:
        model = User
        fields = ["job", "company", "location", "url", "biography"]


class MeOutput(serializers.ModelSerializer[User]):
    """A user as they see themselves."""

    url = UrlField("user", user_id="id")
    profile = ProfileOutput(source="*")

    class Meta:
        model = User
        fields = ["url", "username", "email", "first_name", "last_name", "profile"]


class TokenInput(serializers.Serializer[Any]):
    """A token to make; `ttl` in seconds."""

    name = TextField(max_length=100)
    ttl = serializers.IntegerField(min_value=1, max_value=TEN_YEARS, default=3600, help_text="Seconds until it expires.")
    scopes = serializers.ListField(
        child=ChoiceField(choices=[(scope.value, MEANING[scope]) for scope in Scope]),
        allow_null=True,
        default=None,
        allow_empty=False,
        help_text="What it may be used for; a full token without them.",
    )
    project = IdField(allow_null=True, default=None, help_text="Id of the one project that it sees.")


class TokenOutput(serializers.ModelSerializer[ApiToken]):
    """A token without its secret."""

    url = serializers.SerializerMethodField()
    project = serializers.UUIDField(source="project_id", allow_null=True, read_only=True)

    class Meta:
        model = ApiToken
        fields = ["url", "name", "prefix", "scopes", "project", "created_at", "expires_at", "last_used_at", "revoked_at"]

    def get_url(self, token: ApiToken) -> str:
        """Return where it can be revoked."""
        return absolute_url(self.context["request"], "token", token_id=token.pk)


class NewTokenOutput(TokenOutput):
    """A token with its secret, this once."""

    clear_token = serializers.CharField(help_text="Keep it: it is not shown again.")

    class Meta(TokenOutput.Meta):
        fields = [*TokenOutput.Meta.fields, "clear_token"]
