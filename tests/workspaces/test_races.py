"""Two people at once: nobody's change undoes another's, rights are looked at after the wait, and nothing is left half done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from controlplane.audit.models import AuditEntry
from controlplane.common.errors import NotFound, PermissionDenied, SlipwayError
from controlplane.projects import services as projects
from controlplane.projects.models import Project
from controlplane.workspaces import members, services
from controlplane.workspaces.models import Membership, Namespace, Organization
from controlplane.workspaces.roles import Role
from tests.factories import make_member, make_organization, make_shared_project, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(60)]


@pytest.fixture
def harbour():
    return make_organization(make_user())


@pytest.fixture
def owner(harbour):
    return harbour.memberships.get(role="OWNER").user


class Waiting:
    """A service that runs in a thread of its own and waits for a row that this test holds."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.result: Any = None
        self.backend = 0
        self.known = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(act,))

    def run(self, act: Callable[[], Any]) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                self.backend = cursor.fetchone()[0]
            self.known.set()
            self.result = act()
        except SlipwayError as error:
            self.result = error
        finally:
            connection.close()

    def start(self) -> Waiting:
        """Begin, and return when it waits for a lock."""
        self.thread.start()
        self.known.wait(10)
        query = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        while self.thread.is_alive():
            with connection.cursor() as cursor:
                cursor.execute(query, [self.backend])
                if cursor.fetchone()[0]:
                    break
        return self

    def end(self) -> Any:
        """Return what came of it."""
        self.thread.join(20)
        return self.result


def while_held(model: Any, pk: Any, act: Callable[[], Any], change: Callable[[], Any]) -> Any:
    """Start `act` while the row is held, make `change`, let go, and return what came of `act`."""
    with transaction.atomic():
        model.objects.select_for_update().get(pk=pk)
        waiting = Waiting(act).start()
        change()
    return waiting.end()


def test_a_description_does_not_undo_a_visibility(harbour, owner):
    project = make_shared_project(harbour, visibility="PUBLIC")
    while_held(
        Project,
        project.pk,
        lambda: projects.update_project(actor=owner, project_id=project.pk, description="new"),
        lambda: projects.update_project(actor=owner, project_id=project.pk, visibility="PRIVATE"),
    )
    project.refresh_from_db()
    assert (project.visibility, project.description) == ("PRIVATE", "new")


def test_a_location_does_not_undo_a_name(harbour, owner):
    while_held(
        Organization,
        harbour.pk,
        lambda: services.update_organization(actor=owner, organization_id=harbour.pk, location="Brest"),
        lambda: services.update_organization(actor=owner, organization_id=harbour.pk, name="renamed"),
    )
    harbour.refresh_from_db()
    assert (harbour.name, harbour.location) == ("renamed", "Brest")
    assert harbour.namespaces.get().path == "renamed"


def test_an_owner_who_was_removed_meanwhile_removes_nobody(harbour, owner):
    other = make_member(harbour, Role.OWNER)
    refused = while_held(
        Organization,
        harbour.pk,
        lambda: members.remove_member(actor=other, target=harbour, user_id=owner.pk),
        lambda: members.remove_member(actor=owner, target=harbour, user_id=other.pk),
    )
    assert isinstance(refused, PermissionDenied)
    assert [row.user for row in Membership.objects.filter(organization=harbour)] == [owner]


def test_a_manager_who_was_removed_meanwhile_publishes_nothing(harbour, owner):
    project, manager = make_shared_project(harbour), make_member(harbour, Role.MANAGER)
    refused = while_held(
        Project,
        project.pk,
        lambda: projects.update_project(actor=manager, project_id=project.pk, visibility="PUBLIC"),
        lambda: members.remove_member(actor=owner, target=harbour, user_id=manager.pk),
    )
    assert isinstance(refused, PermissionDenied)
    project.refresh_from_db()
    assert project.visibility == "TEAM"


def test_a_namespace_that_is_created_during_a_rename_is_found_below_the_new_name(harbour, owner):
    made = while_held(
        Organization,
        harbour.pk,
        lambda: services.create_namespace(actor=owner, parent_id=harbour.namespaces.get(parent=None).pk, name="inner"),
        lambda: services.update_organization(actor=owner, organization_id=harbour.pk, name="renamed"),
    )
    assert made.path == "renamed/inner"
    assert set(harbour.namespaces.values_list("path", flat=True)) == {"renamed", "renamed/inner"}


def test_nothing_is_created_in_a_namespace_that_is_deleted_meanwhile(harbour, owner):
    inner = services.create_namespace(actor=owner, parent_id=harbour.namespaces.get().pk, name="inner")
    for act in (
        lambda: projects.create_project(actor=owner, namespace_id=inner.pk, name="thing"),
        lambda: services.create_namespace(actor=owner, parent_id=inner.pk, name="thing"),
    ):
        place = Namespace.objects.filter(pk=inner.pk).first() or services.create_namespace(
            actor=owner, parent_id=harbour.namespaces.get(parent=None).pk, name="inner"
        )
        inner.pk = place.pk
        gone = while_held(Namespace, place.pk, act, partial(services.delete_namespace, actor=owner, namespace_id=place.pk))
        assert isinstance(gone, NotFound)


def test_an_organization_is_not_deleted_while_something_is_created_in_it(harbour, owner):
    root = harbour.namespaces.get()
    refused = while_held(
        Namespace,
        root.pk,
        lambda: services.delete_organization(actor=owner, organization_id=harbour.pk),
        lambda: projects.create_project(actor=owner, namespace_id=root.pk, name="thing"),
    )
    assert getattr(refused, "code", None) == "not_empty"
    assert Organization.objects.filter(pk=harbour.pk).exists()
    assert not AuditEntry.objects.filter(action="organization.delete").exists()


def test_two_owners_cannot_leave_at_once(harbour, owner):
    other = make_member(harbour, Role.OWNER)
    refused = while_held(
        Organization,
        harbour.pk,
        lambda: members.remove_member(actor=other, target=harbour, user_id=other.pk),
        lambda: members.remove_member(actor=owner, target=harbour, user_id=owner.pk),
    )
    assert getattr(refused, "code", None) == "last_owner"
