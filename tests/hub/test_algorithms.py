"""Algorithms of a workspace through the API, as clients send them."""

from __future__ import annotations

import pytest

from controlplane.common.objectstore import object_store
from controlplane.hub import services
from controlplane.hub.models import Algorithm, Package, PackageUse
from controlplane.hub.selectors import FoundPackage
from controlplane.hub.uploads import record_uses
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace, delete_namespace
from tests.factories import make_member, make_organization, make_project, make_user, make_workflow
from tests.hub.algorithms import (
    NAME,
    SENT,
    algorithms_of,
    as_form,
    demo,
    make_algorithm,
    make_demo,
    make_package,
    plugin,
    png,
    pushed_to,
    root,
    upload,
    url,
)

pytestmark = pytest.mark.django_db


def test_what_a_plugin_says_is_taken(api, user):
    answer = api(user).post(algorithms_of(user), SENT)
    assert answer.status_code == 201, answer.json()
    row = answer.json()
    assert (row["path"], row["visibility"], row["algo_type"]) == (f"{user.username}/{NAME}", "PRIVATE", "INFER")
    assert (row["keywords"], row["algo_task"], row["packages"]) == ([], [], [])
    assert row["paper"] == {"authors": "", "title": "", "journal": "", "year": 0, "link": ""}
    assert row["url"].startswith("http://testserver/v1/algos/")
    assert api(user).get(row["url"]).json() == row


def test_the_top_level_holds_nothing_that_a_form_could_not_send_back(api, user):
    row = api(user).post(algorithms_of(user), SENT).json()
    assert all(value is None or isinstance(value, str | list | dict) for value in row.values())


@pytest.mark.parametrize(
    "text",
    ["", "find_hulls", "harbour/find_hulls", "see the readme", "https://example.com/a:b?c=d#e", "HTTP://example.com", "docs/a:b", None],
)
def test_links_are_web_addresses_or_texts_without_a_scheme(api, user, text):
    answer = api(user).post(algorithms_of(user), {**SENT, "repository": text, "paper": {"link": text}})
    assert answer.status_code == 201, answer.json()
    assert (answer.json()["repository"], answer.json()["paper"]["link"]) == (text or "", text)


def test_an_icon_comes_in_a_form_with_lists_as_parts_of_json(api, user):
    form = as_form({**SENT, "keywords": ["hull", "crane"], "algo_task": ["object_detection"]}, icon=upload(png(), "icon.png"))
    answer = api(user).post(algorithms_of(user), form, format="multipart")
    assert answer.status_code == 201, answer.json()
    row = answer.json()
    assert (row["keywords"], row["algo_task"]) == (["hull", "crane"], ["OBJECT_DETECTION"])
    picture = api(user).get(row["icon_url"])
    assert (picture["Content-Type"], picture["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert "sandbox" in picture["Content-Security-Policy"]
    assert b"".join(picture.streaming_content) == png()


@pytest.mark.parametrize("part", ["[", '{"a": 1', "[" * 100_000])
def test_a_part_that_is_not_json_is_refused(api, user, part):
    answer = api(user).post(algorithms_of(user), {"name": NAME, "keywords": part}, format="multipart")
    assert answer.status_code == 400
    assert "keywords" in answer.json()["fields"]
    assert not Algorithm.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "a/b"),
        ("name", "néon"),
        ("name", "-x"),
        ("name", "x" * 101),
        ("name", "ocv_blur"),
        ("name", 7),
        ("keywords", "hull"),
        ("keywords", [1]),
        ("keywords", [f"x{number}" for number in range(101)]),
        ("paper", []),
        ("paper", {"year": "soon"}),
        ("paper", {"link": "javascript:alert(1)"}),
        ("paper", {"link": "java\tscript:alert(1)"}),
        ("repository", "javascript:alert(1)"),
        ("repository", "java\tscript:alert(1)"),
        ("repository", "java\nscript:alert(1)"),
        ("repository", "\x01javascript:alert(1)"),
        ("repository", "\u200bjavascript:alert(1)"),
        ("repository", "java script:alert(1)"),
        ("repository", ":javascript:alert(1)"),
        ("repository", "data:text/html,x"),
        ("repository", "https:javascript"),
        ("repository", "https://"),
        ("repository", "https://example.com/a b"),
        ("repository", "https://example.com/\tx"),
        ("original_implementation_repository", "vbscript:x"),
        ("language", "RUST"),
        ("algo_type", "MAGIC"),
        ("visibility", "SECRET"),
        ("ikomia_min_version", "latest"),
        ("os", ["BEOS"]),
        ("icon", "not a file"),
        ("description", "nul\x00"),
        ("description", "x" * 100_001),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_added(api, user, field, value):
    answer = api(user).post(algorithms_of(user), {**SENT, field: value})
    assert answer.status_code == 400, answer.json()
    assert any(field in name for name in answer.json()["fields"])
    assert not Algorithm.objects.exists()


@pytest.mark.parametrize("files", [{}, {"icon": png()}])
def test_a_namespace_that_is_deleted_meanwhile_is_not_found(api, user, objects, monkeypatch, files):
    namespace = create_namespace(actor=user, parent_id=root(user).pk, name="quays")
    check = services.check_algorithm_name

    def then_delete(name):
        check(name)
        delete_namespace(actor=user, namespace_id=namespace.pk)

    monkeypatch.setattr(services, "check_algorithm_name", then_delete)
    form = as_form(SENT, **{name: upload(content, "icon.png") for name, content in files.items()})
    answer = api(user).post(f"/v1/namespaces/{namespace.pk}/algos/", form, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert objects() == []


def test_a_picture_that_is_none_is_refused_and_nothing_is_stored(api, user, objects):
    form = as_form(SENT, icon=upload(b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "icon.png"))
    answer = api(user).post(algorithms_of(user), form, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (400, "icon_not_an_image")
    assert not Algorithm.objects.exists()
    assert objects() == []


def test_a_name_is_taken_once_in_a_namespace(api, user, objects):
    make_algorithm(user)
    answer = api(user).post(algorithms_of(user), as_form(SENT, icon=upload(png(), "icon.png")), format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert Algorithm.objects.count() == 1
    assert objects() == []


def test_lists_filter_by_exact_name_parent_and_search(api, user, stranger):
    make_algorithm(user, keywords=["crane"])
    make_algorithm(stranger, visibility="PUBLIC")
    make_algorithm(user, "read_names")
    assert api(user).get("/v1/algos/", {"name": NAME}).json()["count"] == 2
    mine = api(user).get("/v1/algos/", {"name": NAME, "namespace": user.username}).json()["results"]
    assert [row["path"] for row in mine] == [f"{user.username}/{NAME}"]
    assert api(user).get("/v1/algos/", {"name": "find"}).json()["count"] == 0
    assert [row["path"] for row in api(user).get("/v1/algos/", {"q": "cranes"}).json()["results"]] == [f"{user.username}/{NAME}"]
    assert api(user).get("/v1/algos/?page_size=0").json() == {"count": 3, "next": None, "previous": None, "results": []}
    assert api(user).get(algorithms_of(user)).json()["count"] == 2


def test_rows_for_the_engine_hold_language_packages_and_a_date_that_it_reads(api, user):
    algorithm = make_algorithm(user)
    make_package(user, algorithm)
    rows = api(user).get("/v1/algos/?page_size=600&fields=all").json()["results"]
    assert rows[0]["language"] == "PYTHON"
    assert rows[0]["packages"][0]["platform"] == {
        "os": ["LINUX"],
        "ikomia": ">=0.16.1",
        "python": ">=3.10,<3.14.0",
        "architecture": ["X86_64"],
        "features": [],
    }
    assert rows[0]["updated_at"][19] == "."


def test_lists_cost_the_same_however_many_algorithms_there_are(api, user, django_assert_max_num_queries):
    for number in range(5):
        make_package(user, make_algorithm(user, f"a{number}"))
    client = api(user)
    with django_assert_max_num_queries(10):
        assert client.get("/v1/algos/").json()["count"] == 5


def test_a_private_algorithm_does_not_exist_for_a_stranger(api, user, stranger, objects):
    algorithm = make_algorithm(user, icon=png())
    package = make_package(user, algorithm)
    make_demo(user, algorithm)
    before = objects()
    client = api(stranger)
    at = url(algorithm)
    paths = ["", "icon/", "members/", "packages/", f"packages/{package.pk}/", f"packages/{package.pk}/download/", "demo-workflows/"]
    paths += [f"demo-workflows/{algorithm.demo.pk}/", f"demo-workflows/{algorithm.demo.pk}/archive/", "publish/"]
    assert {path: client.get(at + path).status_code for path in paths} == dict.fromkeys(paths, 404)
    assert client.put(at, {"visibility": "PUBLIC"}).status_code == 404
    assert client.delete(at).status_code == 404
    assert client.put(at + "publish/", {"license": "MIT", "version": "1.0.0"}).status_code == 404
    assert client.post(algorithms_of(user), SENT).status_code == 404
    algorithm.refresh_from_db()
    assert (algorithm.visibility, Algorithm.objects.count(), objects()) == ("PRIVATE", 1, before)


def test_a_public_algorithm_is_read_but_not_changed_by_a_stranger(api, user, stranger, objects):
    algorithm = make_algorithm(user, visibility="PUBLIC")
    package = make_package(user, algorithm)
    before = objects()
    client = api(stranger)
    assert client.get(url(algorithm)).status_code == 200
    assert client.get(f"{url(algorithm)}packages/{package.pk}/download/").getvalue() == plugin()
    refused = [
        client.put(url(algorithm), {"visibility": "PRIVATE"}),
        client.put(url(algorithm), as_form({}, icon=upload(png(), "i.png")), format="multipart"),
        client.delete(url(algorithm)),
        client.post(f"{url(algorithm)}packages/", {"file": upload(plugin())}, format="multipart"),
        client.post(f"{url(algorithm)}demo-workflows/", {"archive": upload(demo())}, format="multipart"),
        client.put(f"{url(algorithm)}publish/", {"license": "MIT", "version": "1.0.0"}),
    ]
    assert [answer.status_code for answer in refused] == [403] * 6
    algorithm.refresh_from_db()
    assert (algorithm.visibility, algorithm.icon_key, Package.objects.count(), objects()) == ("PUBLIC", "", 1, before)


def test_without_a_token_there_is_no_private_hub(api, user):
    algorithm = make_algorithm(user, visibility="PUBLIC")
    assert {api().get(path).status_code for path in ("/v1/algos/", url(algorithm))} == {401}


@pytest.mark.parametrize(("role", "sees", "adds"), [(Role.PARTNER, 404, 404), (Role.MEMBER, 200, 403), (Role.MANAGER, 200, 201)])
def test_roles_of_an_organization_reach_its_algorithms(api, user, role, sees, adds):
    organization = make_organization(user)
    namespace = organization.namespaces.get()
    algorithm = make_algorithm(user, namespace=namespace)
    assert algorithm.visibility == "TEAM"
    client = api(make_member(organization, role))
    assert client.get(url(algorithm)).status_code == sees
    answer = client.post(f"/v1/namespaces/{namespace.pk}/algos/", {"name": "another"})
    assert answer.status_code == adds
    assert Algorithm.objects.count() == (2 if adds == 201 else 1)


def test_a_role_can_be_raised_on_a_single_algorithm(api, user):
    organization = make_organization(user)
    algorithm = make_algorithm(user, namespace=organization.namespaces.get())
    partner = make_member(organization, Role.PARTNER)
    body = {"user": f"http://testserver/v1/users/{partner.pk}/", "role": "MANAGER"}
    answer = api(user).post(f"{url(algorithm)}members/", body)
    assert answer.status_code == 200, answer.json()
    assert answer.json()["source"] == algorithm.path
    assert api(partner).put(url(algorithm), {"short_description": "Mine too"}).status_code == 200
    assert api(user).delete(answer.json()["url"]).status_code == 204
    assert api(partner).get(url(algorithm)).status_code == 404


def test_a_namespace_with_algorithms_is_not_deleted(api, user):
    organization = make_organization(user)
    make_algorithm(user, namespace=organization.namespaces.get())
    answer = api(user).delete(f"/v1/organizations/{organization.pk}/")
    assert answer.status_code == 409
    assert NAME in answer.json()["detail"]
    assert Algorithm.objects.exists()


def test_a_deleted_algorithm_is_gone_with_all_its_objects(api, user, objects):
    algorithm = make_algorithm(user, icon=png())
    make_package(user, algorithm)
    make_package(user, algorithm, body="again")
    make_demo(user, algorithm)
    assert len(objects()) == 4
    assert api(user).delete(url(algorithm)).status_code == 204
    assert api(user).get(url(algorithm)).status_code == 404
    assert objects() == []


def test_an_algorithm_that_a_workflow_was_built_with_stays(api, user, objects):
    algorithm = make_algorithm(user)
    package = make_package(user, algorithm)
    workflow = make_workflow(make_project(user))
    found = FoundPackage("private", algorithm.path, package.tag, package.pk, package.key, package.sha256)
    for _ in range(2):
        record_uses(version=pushed_to(workflow), found=[found])
    make_package(user, algorithm, body="newer")
    before = objects()
    answer = api(user).delete(url(algorithm))
    assert (answer.status_code, answer.json()["code"]) == (409, "algorithm_in_use")
    assert answer.json()["fields"]["workflows"] == [f"{user.username}/quay/blur"]
    assert (Package.objects.count(), PackageUse.objects.count(), objects()) == (2, 1, before)
    assert object_store().exists(package.key)
    assert api(user).delete(f"/v1/workflows/{workflow.pk}/").status_code == 204
    assert api(user).delete(url(algorithm)).status_code == 204


def test_workflows_that_the_deleter_does_not_see_are_counted_not_named(api, user):
    organization = make_organization(user)
    algorithm = make_algorithm(user, namespace=organization.namespaces.get())
    package = make_package(user, algorithm)
    workflow = make_workflow(make_project(user, "hidden"))
    found = FoundPackage("private", algorithm.path, package.tag, package.pk, package.key, package.sha256)
    record_uses(version=pushed_to(workflow), found=[found])
    manager = make_member(organization, Role.MANAGER, make_user())
    answer = api(manager).delete(url(algorithm)).json()
    assert "1 more" in answer["detail"]
    assert "hidden" not in str(answer)
    assert Algorithm.objects.exists()
