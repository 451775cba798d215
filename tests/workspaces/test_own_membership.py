"""Partners read their own membership, so that clients that look a member up before removing them let partners leave."""

from __future__ import annotations

import pytest

from controlplane.workspaces.models import Membership
from controlplane.workspaces.roles import Role
from tests.factories import make_member, make_organization, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def members(user):
    """The address of an organization's members, with a manager and a partner."""
    return f"/v1/organizations/{make_organization(user, 'harbour').pk}/members/"


@pytest.fixture
def partner(members, user):
    organization = Membership.objects.get(user=user).organization
    make_member(organization, Role.MANAGER)
    return make_member(organization, Role.PARTNER)


def test_a_partner_sees_their_own_membership_alone_and_leaves_by_it(api, partner, members):
    [own] = api(partner).get(members).json()["results"]
    assert (own["username"], own["role"]) == (partner.username, "PARTNER")
    assert api(partner).get(own["url"]).status_code == 200
    assert api(partner).delete(own["url"]).status_code == 204
    assert not Membership.objects.filter(user=partner).exists()


def test_a_partner_finds_nobody_else(api, user, partner, members):
    assert api(partner).get(members, {"username": user.username}).json()["count"] == 0
    assert api(partner).get(f"{members}{user.pk}/").status_code == 404
    assert api(partner).delete(f"{members}{user.pk}/").status_code == 403
    assert Membership.objects.filter(user=user).exists()


def test_members_see_all_and_who_is_not_in_it_sees_none(api, user, partner, members):
    assert api(user).get(members).json()["count"] == 3
    assert api(make_user()).get(members).status_code == 404
