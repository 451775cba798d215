"""Which package a workflow finds for an algorithm that it names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.common.errors import NotFound
from controlplane.hub.models import Package, PackageUse
from controlplane.hub.publishing import publish_algorithm
from controlplane.hub.selectors import Platform, known_algorithm, package_for
from controlplane.hub.services import delete_algorithm
from controlplane.hub.uploads import record_uses
from controlplane.projects.models import Project
from controlplane.workspaces.services import create_namespace
from tests.factories import make_organization, make_project, make_workflow
from tests.hub.algorithms import NAME, make_algorithm, make_package, make_published, pushed_to, root, source_of

pytestmark = pytest.mark.django_db
RUNTIME = Platform(os="LINUX", architecture="X86_64", python="3.11", engine="0.16.1")


def found(project, platform=RUNTIME, name=NAME):
    return package_for(project=project, name=name, platform=platform)


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
    assert not known_algorithm(project=project, name=NAME)
    make_algorithm(user)
    assert found(project) is None
    assert known_algorithm(project=project, name=NAME)


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
    assert not known_algorithm(project=project, name=NAME)
    assert found(Project.objects.create(namespace=closed, name="inside")) is not None


def test_the_algorithms_of_another_workspace_are_not_found_even_public_ones(user, stranger):
    make_package(stranger, make_algorithm(stranger, visibility="PUBLIC"))
    assert found(make_project(user)) is None
    assert not known_algorithm(project=make_project(user, "other"), name=NAME)


def test_a_private_algorithm_without_a_fitting_package_gives_way_to_the_public_one(user, stranger):
    make_package(user, make_algorithm(user), os=["WINDOWS"])
    make_published(stranger)
    assert found(make_project(user)).source == "public"


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
