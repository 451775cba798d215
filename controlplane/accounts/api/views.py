"""Routes of accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.api.serializers import MeOutput, NewTokenOutput, SignUpInput, TokenInput, TokenOutput, UserOutput
from controlplane.accounts.authentication import PasswordAuthentication, TokenAuthentication, throttled
from controlplane.accounts.keys import public_jwk
from controlplane.accounts.models import ApiToken, User
from controlplane.accounts.scopes import Scope
from controlplane.accounts.selectors import published_keys
from controlplane.accounts.services import create_token, revoke_token, sign_up
from controlplane.accounts.throttle import TooManySignUps, count_sign_up
from controlplane.api.pagination import exact_filters, paged
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import Access, WorkspaceView, no_content, validated
from controlplane.audit.origin import client_address
from controlplane.common.lookup import visible_or_404

USER = {
    "url": "http://127.0.0.1:8000/v1/users/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11/",
    "username": "ines",
    "first_name": "Inès",
    "last_name": "",
}
ME = {**USER, "email": "ines@example.com", "profile": {"job": "", "company": "", "location": "", "url": "", "biography": ""}}
TOKEN = {
    "url": "http://127.0.0.1:8000/v1/users/me/tokens/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c12/",
    "name": "laptop",
    "prefix": "slw_x7Qm",
    "scopes": None,
    "project": None,
    "created_at": "2026-03-02T09:00:00Z",
    "expires_at": "2026-03-02T10:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}


class SignUp(WorkspaceView):
    """Create an account."""

    permissions = {"POST": Access.ANYONE}
    authentication_classes: list[type] = []
    replies_in_transaction = False  # sign-ups are counted in Valkey

    def caller_of(self, request: Request) -> str:
        """Return whose keys a request uses: those of its address, also behind our proxy."""
        return f"address {client_address(request._request)}"

    @extend_schema(
        summary="Sign up",
        description="Creates the account, its personal workspace and a `Getting_started` project with example workflows.",
        request=SignUpInput,
        responses={201: MeOutput, 429: OpenApiResponse(description="Too many sign-ups from this address: see `Retry-After`.")},
        auth=[],
        examples=[
            OpenApiExample(
                "Inès", {"username": "ines", "email": "ines@example.com", "password": "a long walk by the quay"}, request_only=True
            ),
            OpenApiExample("Account", ME, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Sign up."""
        wanted = validated(SignUpInput, request.data)
        try:
            count_sign_up(request._request)
        except TooManySignUps as error:
            raise throttled(error) from error
        user = sign_up(**wanted)
        return Response(MeOutput(user, context={"request": request}).data, status=201)


class UserList(WorkspaceView):
    """Find people by name."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(
        summary="Find a user",
        description="Exact name. Anyone with an account finds anyone by name, so that members can be added.",
        parameters=[OpenApiParameter("username", str)],
        responses=page_of(UserOutput),
        examples=[page_example(USER)],
    )
    def get(self, request: Request) -> Response:
        """List users."""
        users = User.objects.filter(is_active=True).order_by("created_at")
        return paged(self, exact_filters(request, users, username="username"), UserOutput)


class UserDetail(WorkspaceView):
    """One user."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(summary="Show a user", responses=UserOutput, examples=[OpenApiExample("User", USER, response_only=True)])
    def get(self, request: Request, user_id: UUID) -> Response:
        """Show a user."""
        user = visible_or_404(User.objects.filter(is_active=True), pk=user_id)
        return Response(UserOutput(user, context={"request": request}).data)


class Me(WorkspaceView):
    """The caller."""

    permissions = {"GET": Access.SIGNED_IN}

    @extend_schema(summary="Who am I", responses=MeOutput, examples=[OpenApiExample("Me", ME, response_only=True)])
    def get(self, request: Request) -> Response:
        """Show the caller."""
        return Response(MeOutput(actor_of(request), context={"request": request}).data)


class TokenList(WorkspaceView):
    """The caller's tokens."""

    permissions = {"GET": Access.SIGNED_IN, "POST": Access.SIGNED_IN}
    authentication_classes = [PasswordAuthentication, TokenAuthentication]

    @extend_schema(
        summary="List my tokens",
        description="A token with scopes, or for one project, lists itself and those that it made, and can revoke no other.",
        responses=page_of(TokenOutput),
        examples=[page_example(TOKEN)],
    )
    def get(self, request: Request) -> Response:
        """List tokens, newest first."""
        return paged(self, ApiToken.objects.visible_to(actor_of(request)).order_by("-created_at"), TokenOutput)

    @extend_schema(
        summary="Make a token",
        description="With user name and password (basic auth), and with the code of a second factor in `X-OTP`. The answer holds the clear token, this "
        "once. `scopes` and `project` narrow it; a narrow token makes no wider one; 500 valid ones are the most."
        " One that a token makes ends with that token at the latest: see `expires_at`.",
        parameters=[OpenApiParameter("X-OTP", str, OpenApiParameter.HEADER, description="Only for people with a second factor.")],
        request=TokenInput,
        responses={201: NewTokenOutput},
        examples=[
            OpenApiExample("An hour", {"name": "laptop", "ttl": 3600}, request_only=True),
            OpenApiExample("Only to call endpoints", {"name": "camera 7", "ttl": 2592000, "scopes": ["consume"]}, request_only=True),
            OpenApiExample("Made", {**TOKEN, "clear_token": "slw_…"}, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request) -> Response:
        """Make a token."""
        data = validated(TokenInput, request.data)
        token, clear = create_token(
            user=actor_of(request),
            name=data["name"],
            ttl=timedelta(seconds=data["ttl"]),
            scopes=data["scopes"] and [Scope(name) for name in data["scopes"]],
            project_id=data["project"],
        )
        shown: dict[str, Any] = dict(TokenOutput(token, context={"request": request}).data)
        return Response({**shown, "clear_token": clear}, status=201)


class TokenDetail(WorkspaceView):
    """One token of the caller."""

    permissions = {"DELETE": Access.SIGNED_IN}

    @extend_schema(
        summary="Revoke a token",
        description="It opens nothing from the next request on, nor do the tokens that it made.",
        responses={204: None},
    )
    def delete(self, request: Request, token_id: UUID) -> HttpResponse:
        """Revoke."""
        revoke_token(actor=actor_of(request), token_id=token_id)
        return no_content()


@require_safe
def jwks(request: HttpRequest) -> JsonResponse:
    """Publish the public keys of endpoint tokens (RFC 7517)."""
    answer = JsonResponse({"keys": [public_jwk(key) for key in published_keys()]})
    answer["Cache-Control"] = "public, max-age=60"
    return answer
