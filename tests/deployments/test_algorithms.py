"""Workflows that name algorithms of the HUB: accepted at the push, taken into the bundle by the build, and kept for it."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from controlplane.common.errors import InvalidInput
from controlplane.common.objectstore import object_store
from controlplane.hub.models import PackageUse
from controlplane.hub.platforms import ANY_RUNTIME, Platform, runtime
from controlplane.hub.services import delete_algorithm
from controlplane.hub.uploads import add_package
from controlplane.projects.services import push_workflow
from controlplane.workspaces.models import Membership
from controlplane.workspaces.roles import Role
from deployments.bundles import environment
from deployments.bundles.build import build_bundle, bundle_key
from deployments.errors import BuildFailed
from deployments.models import Bundle
from tests.factories import make_member, make_organization, make_project, make_shared_project, make_user
from tests.hub.algorithms import LINUX, NAME, make_algorithm, make_package, make_published, plugin, zipped
from tests.projects.archives import connection, task

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def bucket():
    object_store().ensure_bucket()


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    """An environment with the engine and nothing else."""
    monkeypatch.setattr(environment, "installed_in", lambda python: {"ikomia": "0.16.1"})
    monkeypatch.setattr(environment, "python_version", lambda python: "3.11.9")


def push(user, *names, project=None, **files):
    tasks = [task(index, name, language=1) for index, name in enumerate(names or (NAME,))]
    document = {"metadata": {"name": "hulls"}, "tasks": tasks, "connections": [connection(index - 1, index) for index in range(len(tasks))]}
    archive = io.BytesIO(zipped({"workflow.json": json.dumps(document), **files}))
    return push_workflow(actor=user, project_id=(project or make_project(user)).pk, archive=archive).current


def content(bundle):
    data = object_store().get_bytes(bundle_key(bundle.digest))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: stream.read() for entry in tar.getmembers() if (stream := tar.extractfile(entry))}


def test_a_workflow_names_an_algorithm_and_the_build_brings_it(user):
    package = make_package(user, make_algorithm(user), body="print('mine')")
    version = push(user)
    assert (version.plugins, version.algorithms) == ([], [NAME])
    bundle = build_bundle(version)
    files = content(bundle)
    assert files[f"plugins/Python/{NAME}/{NAME}.py"] == b"print('mine')"
    assert set(files) == {"workflow.json", f"plugins/Python/{NAME}/{NAME}.py", f"plugins/Python/{NAME}/{NAME}_process.py"}
    assert bundle.algorithms == [
        {
            "name": NAME,
            "source": "private",
            "path": f"{user.username}/{NAME}",
            "version": "v1",
            "package": str(package.pk),
            "sha256": package.sha256,
        }
    ]
    assert any(f"Algorithm {NAME}: private {user.username}/{NAME} v1" in message for _, _, message in bundle.log)
    assert PackageUse.objects.filter(package=package, version=version).count() == 1


def test_an_archive_brings_its_own_plugin_before_any_hub(user):
    make_package(user, make_algorithm(user), body="theirs")
    version = push(user, **{f"{NAME}/{NAME}.py": "mine", f"{NAME}/{NAME}_process.py": ""})
    assert (version.plugins, version.algorithms) == ([NAME], [])
    assert content(build_bundle(version))[f"plugins/Python/{NAME}/{NAME}.py"] == b"mine"


def test_the_public_hub_is_the_last_to_be_asked(user, stranger):
    make_published(stranger, version="2.1.0")
    [taken] = build_bundle(push(user)).algorithms
    assert (taken["source"], taken["path"], taken["version"]) == ("public", NAME, "2.1.0")
    make_package(user, make_algorithm(user))
    [taken] = build_bundle(push(user, project=user.namespaces.get().projects.get(name="quay"))).algorithms
    assert taken["source"] == "private"


def test_an_algorithm_that_nobody_has_is_refused_at_the_push(user, stranger):
    make_package(stranger, make_algorithm(stranger))
    with pytest.raises(InvalidInput, match="private HUB"):
        push(user)


def test_who_pushes_to_a_single_project_builds_with_nothing_that_they_may_not_read(user):
    organization = make_organization(user)
    project = make_shared_project(organization)
    algorithm = make_algorithm(user, namespace=organization.namespaces.get())
    make_package(user, algorithm)
    partner = make_member(organization, Role.PARTNER)
    for target, kind, role in ((project, "PROJECT", Role.MANAGER), (algorithm, "ALGORITHM", Role.MEMBER)):
        Membership.objects.create(organization=organization, user=partner, kind=kind, target=target.pk, role=role)
    version = push(partner, project=project)
    Membership.objects.filter(user=partner, kind="ALGORITHM").delete()
    with pytest.raises(BuildFailed, match="No package of"):
        build_bundle(version)
    with pytest.raises(InvalidInput, match="private HUB"):
        push(partner, project=project)
    assert build_bundle(push(user, project=project)).algorithms[0]["source"] == "private"


def test_a_package_for_another_platform_fails_the_build_and_says_which_is_needed(user):
    algorithm = make_algorithm(user)
    make_package(user, algorithm, os=["WINDOWS"])
    make_package(user, algorithm, python_min_version="3.12")
    version = push(user)
    with pytest.raises(BuildFailed, match=rf"{NAME} for LINUX X86_64, Python 3.11.9 and engine 0.16.1"):
        build_bundle(version)
    assert (Bundle.objects.get().digest, Bundle.objects.get().reason_code) == ("", "ALGORITHM_MISSING")
    assert not PackageUse.objects.exists()


def test_an_algorithm_is_kept_while_a_bundle_needs_it(user):
    algorithm = make_algorithm(user)
    make_package(user, algorithm)
    build_bundle(push(user))
    with pytest.raises(Exception, match="built from"):
        delete_algorithm(actor=user, algorithm_id=algorithm.pk)


def test_a_package_that_was_changed_in_the_object_store_is_never_built_in(user):
    package = make_package(user, make_algorithm(user))
    version = push(user)
    object_store().put_bytes(package.key, plugin(body="evil"))
    with pytest.raises(BuildFailed, match="not what was uploaded"):
        build_bundle(version)
    object_store().delete(package.key)
    with pytest.raises(BuildFailed, match="not in the object store"):
        build_bundle(version)
    assert Bundle.objects.get().digest == ""


def test_requirements_of_a_package_are_resolved_as_those_of_the_archive(user, settings, tmp_path):
    settings.PACKAGE_INDEX_URL, settings.PACKAGE_FOLDER, settings.BUILD_FOLDER = "none", str(tmp_path), str(tmp_path / "build")
    algorithm = make_algorithm(user)
    files = {f"{NAME}.py": "", f"{NAME}_process.py": "", "requirements.txt": "hullmaker>=2"}
    add_package(actor=user, algorithm_id=algorithm.pk, file=io.BytesIO(zipped(files)), **LINUX)
    with pytest.raises(BuildFailed, match=f"Plugin '{NAME}' needs hullmaker>=2"):
        build_bundle(push(user))


def test_the_same_packages_give_the_same_bundle(user):
    make_package(user, make_algorithm(user))
    other = make_user()
    make_package(other, make_algorithm(other))
    assert build_bundle(push(user)).digest == build_bundle(push(other)).digest


def test_several_algorithms_come_from_several_places(user, stranger):
    make_package(user, make_algorithm(user))
    make_published(stranger, "count_hulls")
    bundle = build_bundle(push(user, NAME, "count_hulls"))
    assert [(one["name"], one["source"]) for one in bundle.algorithms] == [("count_hulls", "public"), (NAME, "private")]


def test_the_hub_is_told_what_the_runtimes_are_as_far_as_it_is_known(monkeypatch):
    assert runtime() == Platform("LINUX", "X86_64", "3.11.9", "0.16.1")
    monkeypatch.setattr(environment, "installed_in", lambda python: None)
    assert runtime() == ANY_RUNTIME


def test_without_the_engine_nothing_can_be_chosen(user, monkeypatch):
    monkeypatch.setattr(environment, "installed_in", lambda python: None)
    make_package(user, make_algorithm(user))
    with pytest.raises(BuildFailed, match="not on this machine"):
        build_bundle(push(user))
