"""Algorithms of a workspace through the API, as clients send them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.accounts.scopes import Scope
from controlplane.accounts.services import create_token
from controlplane.audit.models import AuditEntry
from controlplane.common.objectstore import object_store
from controlplane.hub import services
from controlplane.hub.models import Algorithm, Package, PackageUse
from controlplane.hub.selectors import FoundPackage
from controlplane.hub.uploads import record_uses
from controlplane.workspaces.roles import Role
from controlplane.workspaces.services import create_namespace, delete_namespace
from tests.factories import make_member, make_organization, make_project, make_user, make_workflow
from tests.hub.algorithms import NAME, demo, make_algorithm, make_demo, make_package, plugin, png, pushed_to, root, upload

pytestmark = pytest.mark.django_db
SENT = {
    "name": NAME,
    "short_description": "Finds hulls",
    "description": "# Hulls\n\nLong.",
    "keywords": [""],
    "paper": {"authors": "", "title": "", "journal": "", "year": 0, "link": ""},
    "ikomia_min_version": "0.16.1",
    "ikomia_max_version": "",
    "python_min_version": "3.10",
    "python_max_version": "",
    "language": "PYTHON",
    "repository": "",
    "original_implementation_repository": "",
    "algo_type": "INFER",
    "algo_task": [""],
    "os": ["LINUX", "WINDOWS"],
}


def algorithms_of(user):
    return f"/v1/namespaces/{root(user).pk}/algos/"


def url(algorithm):
    return f"/v1/algos/{algorithm.pk}/"


def as_form(fields, **files):
    """Return fields as the command line client sends them beside a file: lists and objects as parts of JSON."""
    return {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in fields.items()} | files


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


def test_a_whole_object_may_come_back_with_an_icon(api, user, objects):
    make_algorithm(user, keywords=["hull"], icon=png())
    row = api(user).get("/v1/algos/", {"name": NAME}).json()["results"][0]
    form = as_form({**{k: v for k, v in row.items() if v is not None}, **SENT, "description": "New"}, icon=upload(png(9, 9), "i.png"))
    answer = api(user).put(row["url"], form, format="multipart")
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["description"], answer.json()["keywords"]) == ("New", [])
    assert b"".join(api(user).get(row["icon_url"]).streaming_content) == png(9, 9)
    assert len(objects()) == 1, "the old icon is gone"


def before_the_lock(monkeypatch, change):
    """Let something happen once, right before the next change gets its lock."""
    lock = services.lock_algorithm

    def locked(algorithm_id):
        monkeypatch.setattr(services, "lock_algorithm", lock)
        change()
        return lock(algorithm_id)

    monkeypatch.setattr(services, "lock_algorithm", locked)


def test_an_icon_that_was_sent_meanwhile_is_removed_too(api, user, objects, monkeypatch):
    algorithm = make_algorithm(user, icon=png())
    before_the_lock(monkeypatch, lambda: services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(9, 9)))
    services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(10, 10))
    assert b"".join(api(user).get(f"{url(algorithm)}icon/").streaming_content) == png(10, 10)
    assert len(objects()) == 1
    before_the_lock(monkeypatch, lambda: services.update_algorithm(actor=user, algorithm_id=algorithm.pk, icon=png(11, 11)))
    services.delete_algorithm(actor=user, algorithm_id=algorithm.pk)
    assert objects() == []


def test_what_is_not_sent_stays(api, user):
    algorithm = make_algorithm(user, keywords=["hull"], short_description="Finds hulls")
    assert api(user).put(url(algorithm), {"visibility": "PUBLIC", "keywords": None}).status_code == 200
    algorithm.refresh_from_db()
    assert (algorithm.visibility, algorithm.keywords, algorithm.short_description) == ("PUBLIC", ["hull"], "Finds hulls")


@pytest.fixture
def deploying(api, user):
    """A client whose token may push and deploy, and nothing else."""
    client = api()
    clear = create_token(user=user, name="build", ttl=timedelta(hours=1), scopes=[Scope.DEPLOY])[1]
    client.credentials(HTTP_AUTHORIZATION=f"Token {clear}")
    return client


def test_who_sees_an_algorithm_is_not_changed_by_a_token_that_only_deploys(user, deploying):
    algorithm = make_algorithm(user)
    for body in ({"visibility": "PUBLIC"}, as_form({"visibility": "TEAM"}, icon=upload(png(), "i.png"))):
        answer = deploying.put(url(algorithm), body, format="multipart" if "icon" in body else "json")
        assert (answer.status_code, answer.json()["code"]) == (403, "wrong_scope")
        assert "'admin'" in answer.json()["detail"]
    algorithm.refresh_from_db()
    assert (algorithm.visibility, algorithm.icon_key) == ("PRIVATE", "")
    row = deploying.get(url(algorithm)).json()
    assert deploying.put(url(algorithm), {**row, "short_description": "New"}).json()["short_description"] == "New"


def test_a_token_that_only_deploys_adds_algorithms_that_are_not_public(user, deploying):
    assert deploying.post(algorithms_of(user), {**SENT, "visibility": "PUBLIC"}).status_code == 403
    assert not Algorithm.objects.exists()
    assert deploying.post(algorithms_of(user), SENT).status_code == 201


def test_the_name_stays(api, user):
    algorithm = make_algorithm(user)
    answer = api(user).put(url(algorithm), {"name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_fixed")
    algorithm.refresh_from_db()
    assert algorithm.name == NAME


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


LONG = "# Hulls\n\n" + "Long. " * 12_000


def test_lists_cut_long_descriptions_but_not_that_of_the_one_algorithm_of_a_name(api, user, stranger):
    algorithm = make_algorithm(user, description=LONG)
    make_algorithm(user, "short", description="x" * 2_000)
    client = api(user)
    for path in ("/v1/algos/", "/v1/algos/?page_size=2&fields=all", "/v1/algos/?q=hulls", algorithms_of(user)):
        told = {row["name"]: row["description"] for row in client.get(path).json()["results"]}
        assert told[NAME] == f"{LONG[:2_000]}…"
        assert told.get("short", "x" * 2_000) == "x" * 2_000
    for path in ("/v1/algos/", algorithms_of(user)):
        assert client.get(path, {"name": NAME}).json()["results"][0]["description"] == LONG
    assert client.get(url(algorithm)).json()["description"] == LONG
    make_algorithm(stranger, visibility="PUBLIC", description=LONG)
    assert {len(row["description"]) for row in client.get("/v1/algos/", {"name": NAME}).json()["results"]} == {2_001}


def test_a_page_of_long_descriptions_does_not_fetch_them(api, user):
    make_algorithm(user, description=LONG)
    client = api(user)
    with CaptureQueriesContext(connection) as queries:
        client.get("/v1/algos/")
    column = '"hub_algorithm"."description"'
    rows = [query["sql"] for query in queries if column in query["sql"]]
    assert rows
    assert all(column not in sql.replace(f"LEFT({column}", "") for sql in rows)


@pytest.mark.parametrize("as_a_form", [False, True])
def test_a_row_of_a_list_that_comes_back_does_not_cut_the_description(api, user, as_a_form):
    algorithm = make_algorithm(user, description=LONG)
    row = {**api(user).get("/v1/algos/").json()["results"][0], "short_description": "New"}
    body = as_form({name: value for name, value in row.items() if value is not None}, icon=upload(png(), "i.png")) if as_a_form else row
    answer = api(user).put(url(algorithm), body, format="multipart" if as_a_form else "json")
    assert (answer.json()["short_description"], answer.json()["description"]) == ("New", LONG)


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


def test_lines_of_the_audit_log_name_changed_fields_without_their_texts(api, user):
    algorithm = make_algorithm(user, description=LONG)
    for body in ({"description": "Quays", "paper": {"title": "Cranes"}}, {"description": "Quays"}, {}):
        assert api(user).put(url(algorithm), body).status_code == 200
    [line] = AuditEntry.objects.filter(chain=user.pk, action="algorithm.edit")
    assert line.details == {"changed": ["description", "paper"]}


def test_every_change_leaves_a_line_in_the_audit_log(api, user):
    row = api(user).post(algorithms_of(user), SENT).json()
    algorithm = Algorithm.objects.get()
    api(user).put(row["url"], {"visibility": "PUBLIC"})
    make_package(user, algorithm)
    make_demo(user, algorithm)
    api(user).delete(row["url"])
    lines = AuditEntry.objects.filter(chain=user.pk, kind="algorithm").order_by("sequence")
    assert [line.action.partition(".")[2] for line in lines] == ["create", "edit", "package", "demo", "delete"]
    assert {line.name for line in lines} == {f"{user.username}/{NAME}"}
    assert lines[1].details == {"changed": ["visibility"], "visibility": ["PRIVATE", "PUBLIC"]}
