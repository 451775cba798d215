"""Publishing: who may, under which name, which versions, and that what is published never changes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from controlplane.audit.models import AuditEntry
from controlplane.common.errors import Conflict
from controlplane.common.objectstore import object_store
from controlplane.hub.models import Algorithm, HubAlgorithm, HubPackage, HubVersion
from controlplane.hub.publishing import publish_algorithm
from controlplane.hub.services import delete_algorithm
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import allow_publishing, create_namespace, delete_organization, update_organization
from tests.factories import make_member, make_organization
from tests.hub.algorithms import NAME, make_algorithm, make_demo, make_package, make_published, newest_of, plugin, png, source_of

pytestmark = pytest.mark.django_db


def publish(client, algorithm, version="1.0.0", licence="MIT"):
    return client.put(f"/v1/algos/{algorithm.pk}/publish/", {"license": licence, "version": version})


@pytest.fixture
def algorithm(user):
    """An algorithm with a package in a workspace that may publish."""
    made = make_algorithm(user, short_description="Finds hulls", keywords=["hull"], icon=png())
    make_package(user, made)
    allow_publishing(path=user.username, allowed=True)
    return made


def nothing_published():
    return not HubAlgorithm.objects.exists() and not HubVersion.objects.exists() and not HubPackage.objects.exists()


def test_before_the_first_time_three_equal_versions_are_offered(api, user, algorithm):
    answer = api(user).get(f"/v1/algos/{algorithm.pk}/publish/").json()
    assert answer == {"license": None, "next_versions": {"major": "1.0.0", "minor": "1.0.0", "patch": "1.0.0"}}


def test_a_published_algorithm_stands_in_the_hub_and_tells_its_next_versions(api, user, algorithm):
    answer = publish(api(user), algorithm)
    assert answer.status_code == 200, answer.json()
    row = answer.json()
    assert (row["name"], row["version"], row["license"], row["certification"]) == (NAME, "1.0.0", "MIT", False)
    assert [package["version"] for package in row["packages"]] == ["1.0.0"]
    assert api().get(row["url"]).json() == row
    assert api(user).get(f"/v1/algos/{algorithm.pk}/").json()["published"] == row["url"]
    assert api(user).get(f"/v1/algos/{algorithm.pk}/publish/").json() == {
        "license": "MIT",
        "next_versions": {"major": "2.0.0", "minor": "1.1.0", "patch": "1.0.1"},
    }


def test_a_workspace_publishes_only_when_operators_allow_it(api, user):
    algorithm = make_algorithm(user)
    make_package(user, algorithm)
    answer = publish(api(user), algorithm)
    assert (answer.status_code, answer.json()["code"]) == (403, "publishing_not_allowed")
    assert nothing_published()
    call_command("allow_publishing", user.username.upper())
    assert publish(api(user), algorithm).status_code == 200
    call_command("allow_publishing", user.username, "--revoke")
    assert publish(api(user), algorithm, "1.0.1").status_code == 403
    assert HubVersion.objects.count() == 1


def test_a_member_does_not_publish_and_a_manager_does(api, user):
    organization = make_organization(user)
    algorithm = make_algorithm(user, namespace=organization.namespaces.get())
    make_package(user, algorithm)
    allow_publishing(path=organization.name, allowed=True)
    assert publish(api(make_member(organization, Role.MEMBER)), algorithm).status_code == 403
    assert publish(api(make_member(organization, Role.PARTNER)), algorithm).status_code == 404
    assert nothing_published()
    assert publish(api(make_member(organization, Role.MANAGER)), algorithm).status_code == 200


@pytest.mark.parametrize("body", [{}, {"license": "MIT"}, {"license": None, "version": "1.0.0"}, {"license": "WTFPL", "version": "1.0.0"}])
def test_a_licence_and_a_version_are_asked_for(api, user, algorithm, body):
    assert api(user).put(f"/v1/algos/{algorithm.pk}/publish/", body).status_code == 400
    assert nothing_published()


@pytest.mark.parametrize("version", ["1", "v1.0.0", "1.0.0-rc1", "0.0.0", "1.2.3.4", "01.0.0"])
def test_a_version_that_is_none_is_refused(api, user, algorithm, version):
    answer = publish(api(user), algorithm, version)
    assert (answer.status_code, answer.json()["code"]) == (400, "version")
    assert nothing_published()


def test_without_packages_there_is_nothing_to_publish(api, user):
    algorithm = make_algorithm(user)
    allow_publishing(path=user.username, allowed=True)
    answer = publish(api(user), algorithm)
    assert (answer.status_code, answer.json()["code"]) == (409, "no_packages")
    assert nothing_published()


@pytest.mark.parametrize(
    ("version", "status"), [("2.0.0", 200), ("1.3", 200), ("1.2.4", 200), ("1.2.2", 409), ("1.2.5", 409), ("3.0.0", 409)]
)
def test_a_version_follows_the_newest_one(api, user, algorithm, version, status):
    assert publish(api(user), algorithm, "1.2.3").status_code == 200
    make_package(user, algorithm, body="new")
    answer = publish(api(user), algorithm, version)
    assert answer.status_code == status, answer.json()
    assert HubVersion.objects.count() == (2 if status == 200 else 1)


def test_publishing_again_is_the_same_answer_and_no_second_line(api, user, algorithm):
    first = publish(api(user), algorithm)
    assert publish(api(user), algorithm).json() == first.json()
    assert (HubVersion.objects.count(), AuditEntry.objects.filter(action="algorithm.publish").count()) == (1, 1)


@pytest.mark.parametrize("change", ["words", "package", "licence", "demo", "icon"])
def test_a_published_version_is_not_published_with_other_content(api, user, algorithm, change):
    first = publish(api(user), algorithm).json()
    if change == "words":
        api(user).put(f"/v1/algos/{algorithm.pk}/", {"short_description": "Other"})
    if change == "package":
        make_package(user, algorithm, body="other")
    if change == "demo":
        make_demo(user, algorithm)
    if change == "icon":
        from controlplane.hub.services import update_algorithm

        update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(9, 9))
    answer = publish(api(user), algorithm, licence="GPL_30" if change == "licence" else "MIT")
    assert (answer.status_code, answer.json()["code"]) == (409, "version_immutable")
    assert "1.0.1" in answer.json()["detail"]
    assert api().get(first["url"]).json() == first


def test_what_is_published_stays_as_it_was_when_the_algorithm_changes(api, user, algorithm):
    first = publish(api(user), algorithm).json()
    icon = b"".join(api().get(first["icon_url"]).streaming_content)
    api(user).put(f"/v1/algos/{algorithm.pk}/", {"short_description": "Other", "visibility": "PUBLIC"})
    make_package(user, algorithm, body="other")
    assert api().get(first["url"]).json() == first
    assert api(user).delete(f"/v1/algos/{algorithm.pk}/").status_code == 204
    assert api().get(first["url"]).json() == first
    assert b"".join(api().get(first["icon_url"]).streaming_content) == icon
    assert api().get(f"{first['packages'][0]['url']}download/").getvalue() == plugin()


def test_the_database_itself_refuses_to_change_what_is_published(user):
    hub = make_published(user)
    changes = [
        lambda: HubVersion.objects.update(license="GPL_30"),
        lambda: HubPackage.objects.update(sha256="0" * 64),
        lambda: HubPackage.objects.all()._raw_delete("default"),
        lambda: HubVersion.objects.all()._raw_delete("default"),
        lambda: HubVersion.objects.create(hub=hub, major=1, minor=0, patch=0, name=NAME, license="MIT"),
        lambda: HubAlgorithm.objects.create(name=NAME.upper(), workspace_id=user.pk, publisher="x"),
    ]
    for change in changes:
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    version = HubVersion.objects.get()
    assert (version.license, version.packages.count()) == ("MIT", 1)
    assert object_store().exists(version.packages.get().key)


def test_a_name_belongs_to_who_published_it_first(api, user, stranger):
    make_published(user)
    other = make_algorithm(stranger)
    make_package(stranger, other)
    allow_publishing(path=stranger.username, allowed=True)
    answer = publish(api(stranger), other)
    assert (answer.status_code, answer.json()["code"]) == (409, "hub_name_taken")
    lookalike = make_algorithm(stranger, NAME.upper())
    make_package(stranger, lookalike)
    assert publish(api(stranger), lookalike).status_code == 409
    assert HubVersion.objects.count() == 1


def test_a_workspace_takes_up_a_name_that_it_left_behind_and_nobody_else_does(api, user, stranger):
    hub = make_published(user)
    Algorithm.objects.get().delete()
    other = make_algorithm(stranger)
    make_package(stranger, other)
    allow_publishing(path=stranger.username, allowed=True)
    assert publish(api(stranger), other, "1.0.1").status_code == 409
    again = make_algorithm(user)
    make_package(user, again)
    answer = publish(api(user), again, "1.1.0")
    assert answer.status_code == 200, answer.json()
    hub.refresh_from_db()
    assert (hub.algorithm_id, newest_of(hub).version) == (again.pk, "1.1.0")


@pytest.mark.django_db(transaction=True)
def test_one_of_two_contents_published_at_the_same_moment_wins(user, algorithm):
    def once(licence):
        try:
            publish_algorithm(actor=user, algorithm_id=algorithm.pk, license=licence, version="1.0.0")
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "published"

    licences = ["MIT", "GPL_30", "LGPL_30", "AGPL_30"]
    with ThreadPoolExecutor(4) as pool:
        outcomes = dict(zip(licences, pool.map(once, licences), strict=True))
    assert sorted(outcomes.values()) == ["published", "version_immutable", "version_immutable", "version_immutable"]
    version = HubVersion.objects.get()
    assert outcomes[version.license] == "published"
    assert version.packages.count() == 1


@pytest.mark.django_db(transaction=True)
def test_one_of_several_workspaces_gets_a_name_at_the_same_moment(user, stranger):
    algorithms = {}
    for person in (user, stranger):
        algorithms[person] = make_algorithm(person)
        make_package(person, algorithms[person])
        allow_publishing(path=person.username, allowed=True)

    def once(person):
        try:
            publish_algorithm(actor=person, algorithm_id=algorithms[person].pk, license="MIT", version="1.0.0")
        except Conflict as error:
            return error.code
        finally:
            connection.close()
        return "published"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(once, algorithms)) == ["hub_name_taken", "published"]
    assert (HubAlgorithm.objects.count(), HubVersion.objects.count()) == (1, 1)


def test_the_public_reads_the_workspace_and_nothing_of_its_insides(api, user):
    organization = make_organization(user)
    inner = create_namespace(actor=user, parent_id=organization.namespaces.get().pk, name="secret")
    hub = make_published(user, namespace=inner)
    shown = str([api().get(f"/v1/hub/{hub.pk}/{path}").json() for path in ("", "versions/", "packages/")])
    assert f"'publisher': '{organization.name}'" in shown
    assert "secret" not in shown
    assert user.username not in shown


def test_a_publisher_is_shown_as_the_workspace_is_called_now_and_nobody_takes_its_place(api, user, stranger):
    organization = make_organization(user)
    hub = make_published(user, namespace=organization.namespaces.get())
    former = organization.name

    def shown():
        one, [row] = api().get(f"/v1/hub/{hub.pk}/").json(), api().get("/v1/hub/").json()["results"]
        assert one["publisher"] == row["publisher"]
        return one["publisher"]

    update_organization(actor=user, organization_id=organization.pk, name="renamed-harbour")
    make_organization(stranger, former)
    assert shown() == "renamed-harbour"
    delete_algorithm(actor=user, algorithm_id=source_of(hub).pk)
    assert shown() == "renamed-harbour"
    delete_organization(actor=user, organization_id=organization.pk)
    assert shown() == f"{former} (gone)"


def test_operators_certify_by_command(api, user, capsys):
    hub = make_published(user)
    call_command("certify", NAME)
    assert api().get(f"/v1/hub/{hub.pk}/").json()["certification"] is True
    call_command("certify", NAME, "--revoke")
    assert api().get(f"/v1/hub/{hub.pk}/").json()["certification"] is False
    lines = AuditEntry.objects.filter(action="hub.certify", chain=user.pk).order_by("sequence")
    assert [line.details["certified"] for line in lines] == [True, False]
    with pytest.raises(CommandError, match="no algorithm"):
        call_command("certify", "nothing")
    with pytest.raises(CommandError, match="no workspace"):
        call_command("allow_publishing", "nobody")
