"""No sequence of changes leaves an organization without an owner, or lifts anyone above who gave."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from controlplane.common.errors import SlipwayError
from controlplane.workspaces.members import give_role, members_of, remove_member
from controlplane.workspaces.models import Membership
from controlplane.workspaces.permissions import Permission, allowed, role_on, standing_on
from controlplane.workspaces.querysets import reach_of
from controlplane.workspaces.roles import Level, Role, descend, inherited, may_give
from controlplane.workspaces.services import create_namespace, update_namespace
from tests.factories import make_organization, make_shared_project, make_user

PEOPLE = 4
people = st.integers(0, PEOPLE - 1)
places = st.integers(0, 3)


class Memberships(RuleBasedStateMachine):
    """Four people change each other's roles on an organization, a sub-namespace and projects in both."""

    @initialize()
    def begin(self):
        self.people = [make_user() for _ in range(PEOPLE)]
        self.organization = make_organization(self.people[0])
        root = self.organization.namespaces.get()
        inner = create_namespace(actor=self.people[0], parent_id=root.pk, name="inner")
        outer = make_shared_project(self.organization)
        deep = make_shared_project(self.organization, "deep")
        deep.namespace = inner
        deep.save()
        self.targets: list[Any] = [self.organization, inner, outer, deep]

    @rule(actor=people, user=people, place=places, role=st.sampled_from(list(Role)))
    def give(self, actor, user, place, role):
        actor, user, target = self.people[actor], self.people[user], self.targets[place]
        target = type(target).objects.get(pk=target.pk)
        giver = role_on(actor, target)
        others = self.roles_of_others(user)
        with contextlib.suppress(SlipwayError):
            give_role(actor=actor, target=target, user_id=user.pk, role=role)
            assert giver is not None
            assert may_give(giver, role)
            assert role_on(user, target) == role
        assert self.roles_of_others(user) == others

    @rule(actor=people, user=people, place=places)
    def remove(self, actor, user, place):
        actor, user, target = self.people[actor], self.people[user], self.targets[place]
        others, able = self.roles_of_others(user), allowed(actor, Permission.MEMBER_MANAGE, target)
        with contextlib.suppress(SlipwayError):
            remove_member(actor=actor, target=target, user_id=user.pk)
            assert able or actor == user
        assert self.roles_of_others(user) == others

    @rule(actor=people, visibility=st.sampled_from(["PUBLIC", "TEAM", "PRIVATE"]))
    def hide(self, actor, visibility):
        with contextlib.suppress(SlipwayError):
            update_namespace(actor=self.people[actor], namespace_id=self.targets[1].pk, visibility=visibility)

    def roles_of_others(self, user):
        return set(Membership.objects.exclude(user=user).values_list("user", "target", "role"))

    @invariant()
    def there_is_an_owner(self):
        assert Membership.objects.filter(target=self.organization.pk, role=Role.OWNER).exists()

    @invariant()
    def nobody_has_a_role_in_it_without_being_in_it(self):
        inside = Membership.objects.filter(target=self.organization.pk).values("user")
        assert not Membership.objects.filter(organization=self.organization).exclude(user__in=inside).exists()

    @invariant()
    def lists_checks_and_querysets_agree(self):
        for target in self.targets:
            fresh = type(target).objects.get(pk=target.pk)
            listed = {member.user: member.role for member in members_of(fresh)}
            for one in self.people:
                standing = standing_on(one, fresh)
                assert listed.get(one) == (standing.role if standing else None)
                if fresh is not self.organization and type(fresh).__name__ == "Project":
                    usable = type(fresh).objects.usable_by(one).filter(pk=fresh.pk).exists()
                    assert usable == (standing is not None and standing.role.rank >= Role.MEMBER.rank)
            if type(fresh).__name__ == "Namespace":
                for one in self.people:
                    role = role_on(one, fresh)
                    managed, read = reach_of(one).namespaces()
                    for condition, least in ((managed, Role.MANAGER), (managed | read, Role.MEMBER)):
                        found = type(fresh).objects.filter(condition, pk=fresh.pk).exists()
                        assert found == (role is not None and role.rank >= least.rank)


@pytest.mark.django_db(transaction=False)
@pytest.mark.timeout(120)
def test_no_sequence_of_changes_breaks_a_rule():
    class Undone(Memberships):
        """Each sequence in a transaction of its own, which is undone."""

        def __init__(self):
            super().__init__()
            self.transaction = transaction.atomic()
            self.transaction.__enter__()

        def teardown(self):
            transaction.set_rollback(True)
            self.transaction.__exit__(None, None, None)

    run_state_machine_as_test(
        Undone, settings=settings(max_examples=10, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
    )


levels = st.lists(
    st.builds(Level, id=st.builds(UUID, int=st.integers(1, 6)), path=st.text(), private=st.booleans()), min_size=1, max_size=5
)
roles = st.sampled_from(list(Role))


def test_what_is_given_is_never_more_than_the_giver_has():
    for giver in [None, *Role]:
        for role in Role:
            assert may_give(giver, role) == (giver is Role.OWNER)


def test_a_role_further_down_is_never_weaker_than_what_was_given_there():
    @given(levels, st.dictionaries(st.builds(UUID, int=st.integers(1, 6)), roles))
    def check(way, held):
        standing = descend(way, held)
        if way[0].id not in held:
            assert standing is None or standing.role in held.values()
            return
        assert standing is not None
        own = held.get(way[-1].id)
        assert own is None or standing.role.rank >= own.rank
        assert standing.role in {*held.values(), Role.PARTNER}

    check()


def test_private_things_keep_inherited_members_out():
    assert [inherited(role, private=True) for role in Role] == [Role.PARTNER, Role.PARTNER, Role.MANAGER, Role.OWNER]
    assert [inherited(role, private=False) for role in Role] == list(Role)
