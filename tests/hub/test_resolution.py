"""Which package a workflow finds for an algorithm that it names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from controlplane.accounts.models import User
from controlplane.accounts.services import create_token
from controlplane.common.errors import NotFound
from controlplane.hub.models import Package, PackageUse
from controlplane.hub.publishing import publish_algorithm
from controlplane.hub.selectors import Platform, known_algorithm, package_for
from controlplane.hub.services import delete_algorithm, update_algorithm
from controlplane.hub.uploads import record_uses
from controlplane.projects.models import Project
from controlplane.workspaces.models import Membership
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace
from tests.factories import make_member, make_organization, make_project, make_shared_project, make_user, make_workflow
from tests.hub.algorithms import NAME, make_algorithm, make_package, make_published, pushed_to, root, source_of

pytestmark = pytest.mark.django_db
RUNTIME = Platform(os="LINUX", architecture="X86_64", python="3.11", engine="0.16.1")


def found(project, platform=RUNTIME, name=NAME, reader=None):
    """Return what is found for the reader, or for the owner of the project's workspace."""
    return package_for(project=project, name=name, platform=platform, reader=reader or owner_of(project))


def known(project, actor=None):
    return known_algorithm(project=project, name=NAME, actor=actor or owner_of(project))


def owner_of(project):
    organization = project.namespace.organization
    return organization.memberships.get(role=Role.OWNER).user if organization else project.namespace.owner


def test_the_newest_package_for_the_platform_is_found(user):
    project, algorithm = make_project(user), make_algorithm(user)
    package = make_package(user, algorithm)
    make_package(user, algorithm, os=["WINDOWS"])
    make_package(user, algorithm, ikomia_min_version="0.17.0")
    make_package(user, algorithm, python_min_version="3.12")
    got = found(project)
    assert got is not None
    assert (got.source, got.path, got.version) == ("private", f"{user.username}/{NAME}", "v1")
    assert (got.package_id, got.key, got.sha256) == (package.pk, package.key, package.sha256)
    newest = make_package(user, algorithm, architecture=[])
    assert found(project).package_id == newest.pk
    assert found(project, replace(RUNTIME, engine="0.17.0")).version == "v5"
    assert found(project, replace(RUNTIME, architecture="AARCH64")).version == "v5"


def test_nothing_is_found_where_there_is_nothing(user):
    project = make_project(user)
    assert found(project) is None
    assert not known(project)
    make_algorithm(user)
    assert found(project) is None
    assert known(project)


def test_a_retired_package_is_not_found(user):
    project, algorithm = make_project(user), make_algorithm(user)
    make_package(user, algorithm)
    newest = make_package(user, algorithm, body="new")
    assert found(project).package_id == newest.pk


def test_the_nearest_namespace_comes_first_then_the_workspace_then_the_public_hub(user, stranger):
    organization = make_organization(user)
    top = organization.namespaces.get()
    inner = create_namespace(actor=user, parent_id=top.pk, name="inner")
    aside = create_namespace(actor=user, parent_id=top.pk, name="aside")
    project = Project.objects.create(namespace=inner, name="quay")
    make_published(stranger)
    expected = [("public", NAME)]
    for namespace in (aside, top, inner):
        algorithm = make_algorithm(user, namespace=namespace)
        make_package(user, algorithm)
        expected.append(("private", algorithm.path))
    for source, path in reversed(expected):
        got = found(project)
        assert (got.source, got.path) == (source, path)
        if source == "private":
            delete_algorithm(actor=user, algorithm_id=Package.objects.get(pk=got.package_id).algorithm_id)


def test_what_is_private_elsewhere_in_the_workspace_is_not_found(user):
    organization = make_organization(user)
    top = organization.namespaces.get()
    aside = create_namespace(actor=user, parent_id=top.pk, name="aside")
    closed = create_namespace(actor=user, parent_id=top.pk, name="closed", visibility="PRIVATE")
    project = Project.objects.create(namespace=top, name="quay")
    make_package(user, make_algorithm(user, namespace=aside, visibility="PRIVATE"))
    make_package(user, make_algorithm(user, namespace=closed, visibility="TEAM"))
    assert found(project) is None
    assert not known(project)
    assert found(Project.objects.create(namespace=closed, name="inside")) is not None


def raised_on(project, role=Role.MANAGER):
    """Return a partner of the organization who has a role on this project and nothing else."""
    partner = make_member(project.namespace.organization, Role.PARTNER)
    Membership.objects.create(organization=project.namespace.organization, user=partner, kind="PROJECT", target=project.pk, role=role)
    return partner


@pytest.mark.parametrize("visibility", ["PRIVATE", "TEAM"])
def test_who_pushes_to_a_single_project_finds_no_algorithm_that_they_may_not_read(user, visibility):
    organization = make_organization(user)
    project = make_shared_project(organization)
    make_package(user, make_algorithm(user, namespace=organization.namespaces.get(), visibility=visibility))
    partner = raised_on(project)
    assert (found(project, reader=partner), known(project, partner)) == (None, False)
    assert (found(project).source, known(project)) == ("private", True)


def test_who_may_not_read_the_private_algorithm_gets_the_public_one(user, stranger):
    organization = make_organization(user)
    project = make_shared_project(organization)
    make_package(user, make_algorithm(user, namespace=organization.namespaces.get()))
    make_published(stranger)
    partner = raised_on(project)
    assert (found(project, reader=partner).source, known(project, partner)) == ("public", True)


def test_a_member_takes_what_the_team_sees_and_not_what_is_private(user):
    organization = make_organization(user)
    top = organization.namespaces.get()
    project = make_shared_project(organization)
    algorithm = make_algorithm(user, namespace=top)
    make_package(user, algorithm)
    member = make_member(organization, Role.MEMBER)
    assert (found(project, reader=member).source, known(project, member)) == ("private", True)
    update_algorithm(actor=user, algorithm_id=algorithm.pk, visibility="PRIVATE")
    assert (found(project, reader=member), known(project, member)) == (None, False)


@pytest.mark.parametrize(("visibility", "expected"), [("PRIVATE", None), ("TEAM", "private"), ("PUBLIC", "private")])
def test_when_who_pushed_is_gone_only_what_is_not_private_is_found(user, visibility, expected):
    project = make_project(user)
    make_package(user, make_algorithm(user, visibility=visibility))
    got = package_for(project=project, name=NAME, platform=RUNTIME, reader=None)
    assert (got.source if got else None) == expected


def test_a_token_that_is_bound_to_a_project_names_no_algorithm_of_the_workspace_nor_one_that_the_build_takes_from_there(user, stranger):
    project = make_project(user)
    user.credential = create_token(user=user, name="build", ttl=timedelta(hours=1), project_id=project.pk)[0]
    make_published(stranger)
    assert known(project, user)
    make_package(User.objects.get(pk=user.pk), make_algorithm(User.objects.get(pk=user.pk)))
    assert not known(project, user)


def test_the_algorithms_of_another_workspace_are_not_found_even_public_ones(user, stranger):
    make_package(stranger, make_algorithm(stranger, visibility="PUBLIC"))
    assert found(make_project(user)) is None
    assert not known(make_project(user, "other"))


@pytest.mark.parametrize("platform", [{"os": ["WINDOWS"]}, {"python_min_version": "3.12"}, None])
def test_what_others_publish_never_stands_in_for_an_algorithm_of_the_workspace(user, stranger, platform):
    algorithm = make_algorithm(user)
    if platform:
        make_package(user, algorithm, **platform)
    make_published(stranger)
    assert found(make_project(user)) is None
    assert found(make_project(stranger)).source == "private"
    assert found(make_project(make_user())).source == "public"


def test_public_versions_are_ordered_as_versions_not_as_text(user, stranger):
    hub = make_published(stranger, version="1.9.0")
    publish_algorithm(actor=stranger, algorithm_id=source_of(hub).pk, license="MIT", version="1.10.0")
    project = make_project(user)
    got = found(project)
    assert (got.source, got.path, got.version) == ("public", NAME, "1.10.0")
    assert found(project, name=NAME.upper()) is None
    make_package(stranger, source_of(hub), python_min_version="3.13")
    publish_algorithm(actor=stranger, algorithm_id=source_of(hub).pk, license="MIT", version="2.0.0")
    assert found(project, replace(RUNTIME, python="3.13.1")).version == "2.0.0"


def test_an_older_public_version_is_found_when_the_newest_does_not_fit(user, stranger):
    hub = make_published(stranger)
    Package.objects.update(retired=True)
    make_package(stranger, source_of(hub), ikomia_min_version="0.18.0")
    publish_algorithm(actor=stranger, algorithm_id=source_of(hub).pk, license="MIT", version="2.0.0")
    assert found(make_project(user)).version == "1.0.0"


def test_uses_are_recorded_for_private_packages_and_once(user, stranger):
    project = make_project(user)
    version = pushed_to(make_workflow(project))
    make_published(stranger)
    record_uses(version=version, found=[found(project)])
    assert not PackageUse.objects.exists()
    make_package(user, make_algorithm(user, namespace=root(user)))
    for _ in range(2):
        record_uses(version=version, found=[found(project)])
    assert PackageUse.objects.count() == 1


def test_a_package_that_was_deleted_meanwhile_is_told(user):
    project = make_project(user)
    version = pushed_to(make_workflow(project))
    algorithm = make_algorithm(user)
    make_package(user, algorithm)
    got = found(project)
    delete_algorithm(actor=user, algorithm_id=algorithm.pk)
    with pytest.raises(NotFound):
        record_uses(version=version, found=[got])
