"""Who acts: the typed user of a request."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request

from controlplane.accounts.models import User
from controlplane.common.errors import NotAuthenticated


def actor_of(request: Request | HttpRequest) -> User:
    """Return the signed-in user. Raises `NotAuthenticated` when there is none."""
    if not isinstance(request.user, User):
        raise NotAuthenticated("not_authenticated", "Send a token: 'Authorization: Token …'. Make one with POST /v1/users/me/tokens/.")
    return request.user
