"""The role table, row by row, as the product documents it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings

from controlplane.common.errors import PermissionDenied
from controlplane.workspaces.matrix import markdown
from controlplane.workspaces.permissions import allowed, require
from controlplane.workspaces.roles import PUBLIC_PERMISSIONS, ROLE_TABLE, ROWS, Permission, Role
from tests.factories import make_project

DOCUMENTED = {
    Permission.PROJECT_READ: {"MEMBER", "MANAGER", "OWNER"},
    Permission.ENDPOINT_CONSUME: {"MEMBER", "MANAGER", "OWNER"},
    Permission.STORAGE_USE: {"MEMBER", "MANAGER", "OWNER"},
    Permission.PROJECT_CREATE: {"MANAGER", "OWNER"},
    Permission.PROJECT_EDIT: {"MANAGER", "OWNER"},
    Permission.PROJECT_DELETE: {"MANAGER", "OWNER"},
    Permission.WORKFLOW_PUSH: {"MANAGER", "OWNER"},
    Permission.WORKFLOW_DELETE: {"MANAGER", "OWNER"},
    Permission.DEPLOYMENT_CREATE: {"MANAGER", "OWNER"},
    Permission.DEPLOYMENT_DELETE: {"MANAGER", "OWNER"},
    Permission.MEMBER_MANAGE: {"OWNER"},
}


@pytest.mark.parametrize("permission", DOCUMENTED)
def test_a_permission_belongs_to_the_documented_roles(permission):
    assert {role.value for role in Role if permission in ROLE_TABLE[role]} == DOCUMENTED[permission]


def test_each_permission_stands_in_one_row_of_the_matrix_and_in_the_documentation():
    assert sorted(permission for _, permissions in ROWS for permission in permissions) == sorted(Permission)
    assert markdown() in (Path(settings.BASE_DIR) / "docs/permissions.md").read_text()


def test_each_role_may_do_all_that_the_weaker_one_may():
    roles = list(Role)
    for weaker, stronger in pairwise(roles):
        assert ROLE_TABLE[weaker] < ROLE_TABLE[stronger]


def test_a_partner_may_do_nothing():
    assert ROLE_TABLE[Role.PARTNER] == frozenset()


def test_public_things_are_read_and_no_more():
    assert {permission for permission in PUBLIC_PERMISSIONS if not permission.endswith(".read")} == set()


def test_an_owner_may_do_everything_and_a_stranger_nothing(user, stranger):
    project = make_project(user)
    assert all(allowed(user, permission, project) for permission in Permission)
    assert not any(allowed(stranger, permission, project) for permission in Permission)


def test_a_refusal_says_what_one_is_and_what_it_takes(user, stranger):
    with pytest.raises(PermissionDenied, match=r"You have no role here.*MANAGER, OWNER.*owner of"):
        require(stranger, Permission.WORKFLOW_PUSH, make_project(user, visibility="PUBLIC"))
