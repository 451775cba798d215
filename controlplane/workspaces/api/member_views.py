"""Routes of members: the same for organizations, namespaces, projects and algorithms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts.api.actors import actor_of
from controlplane.accounts.models import User
from controlplane.api.pagination import Page
from controlplane.api.schema import page_example, page_of
from controlplane.api.views import WorkspaceView, no_content, validated
from controlplane.common.errors import NotFound
from controlplane.workspaces.api.examples import MEMBER, NEW_MEMBER
from controlplane.workspaces.api.serializers import MemberInput, MemberOutput, RoleChange
from controlplane.workspaces.members import Member, give_role, members_of, readable_members, remove_member
from controlplane.workspaces.permissions import Permission, Target, require
from controlplane.workspaces.roles import Role


class TargetView(WorkspaceView):
    """A view of the members of something. `route` names the detail route, whose arguments are those of the list and `user_id`."""

    route = ""

    def target(self, actor: User, **keys: UUID) -> Target:
        """Return what the members are members of. Raises `NotFound`."""
        raise NotImplementedError

    def shown(self, request: Request, member: Member, keys: dict[str, UUID]) -> dict[str, Any]:
        """Return a member as the wire has it."""
        url = request.build_absolute_uri(reverse(self.route, kwargs={**keys, "user_id": member.user.pk}))
        return {"url": url, "username": member.user.username, "role": member.role.value, "source": member.source}


class MemberListView(TargetView):
    """Who has a role on something."""

    permissions = {"GET": Permission.MEMBER_READ, "POST": Permission.MEMBER_MANAGE}

    @extend_schema(
        summary="List members",
        description="Everyone with a role, the strongest first. `source` is the path that the role was given on. "
        "A partner sees their own role alone.",
        parameters=[OpenApiParameter("username", str), OpenApiParameter("role", str, description="MEMBER, OWNER, …")],
        responses=page_of(MemberOutput),
        examples=[page_example(MEMBER)],
    )
    def get(self, request: Request, **keys: UUID) -> Response:
        """List members."""
        actor = actor_of(request)
        target = self.target(actor, **keys)
        rows = [self.shown(request, member, keys) for member in readable_members(actor, target)]
        wanted = {name: value for name in ("username", "role") if (value := request.query_params.get(name))}
        rows = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
        pages = Page()
        return pages.get_paginated_response(pages.paginate_queryset(rows, request, self))

    @extend_schema(
        summary="Give a role",
        description="Adds a member, or gives one another role (200). On a project, an algorithm or a sub-namespace a role can only be raised.",
        request=MemberInput,
        responses={200: MemberOutput, 201: MemberOutput},
        examples=[
            OpenApiExample("New member", NEW_MEMBER, request_only=True),
            OpenApiExample("Added", MEMBER, response_only=True, status_codes=["201"]),
        ],
    )
    def post(self, request: Request, **keys: UUID) -> Response:
        """Give a role."""
        actor = actor_of(request)
        target = self.target(actor, **keys)
        data = validated(MemberInput, request.data)
        member, new = give_role(actor=actor, target=target, user_id=data["user"], role=Role(data["role"]))
        return Response(self.shown(request, member, keys), status=201 if new else 200)


class MemberDetailView(TargetView):
    """One member of something."""

    permissions = {"GET": Permission.MEMBER_READ, "PUT": Permission.MEMBER_MANAGE, "DELETE": Permission.MEMBER_MANAGE}

    @extend_schema(summary="Show a member", responses=MemberOutput, examples=[OpenApiExample("Owner", MEMBER, response_only=True)])
    def get(self, request: Request, user_id: UUID, **keys: UUID) -> Response:
        """Show a member."""
        actor = actor_of(request)
        members = readable_members(actor, self.target(actor, **keys))
        return Response(self.shown(request, one_of(members, user_id), keys))

    @extend_schema(
        summary="Change a member's role",
        request=RoleChange,
        responses=MemberOutput,
        examples=[
            OpenApiExample("Manager", {"role": "MANAGER"}, request_only=True),
            OpenApiExample("Changed", {**MEMBER, "role": "MANAGER"}, response_only=True),
        ],
    )
    def put(self, request: Request, user_id: UUID, **keys: UUID) -> Response:
        """Change a role."""
        actor = actor_of(request)
        target = self.target(actor, **keys)
        role = Role(validated(RoleChange, request.data)["role"])
        require(actor, Permission.MEMBER_MANAGE, target)
        one_of(members_of(target), user_id)
        member, _ = give_role(actor=actor, target=target, user_id=user_id, role=role)
        return Response(self.shown(request, member, keys))

    @extend_schema(
        summary="Remove a member, or leave",
        description="From an organization with every role in it; endpoint tokens in hand stop working within seconds. The last owner stays.",
        responses={204: None},
    )
    def delete(self, request: Request, user_id: UUID, **keys: UUID) -> HttpResponse:
        """Remove a member."""
        actor = actor_of(request)
        remove_member(actor=actor, target=self.target(actor, **keys), user_id=user_id)
        return no_content()


def one_of(members: list[Member], user_id: UUID) -> Member:
    """Return the member with this id. Raises `NotFound`."""
    for member in members:
        if member.user.pk == user_id:
            return member
    raise NotFound("not_found", "There is no such member here.")
