"""The public HUB without an account: lists, searches, filters, packages."""

from __future__ import annotations

import pytest

from controlplane.hub.publishing import certify, publish_algorithm
from tests.hub.algorithms import NAME, make_algorithm, make_package, make_published, newest_of, plugin, png, source_of

pytestmark = pytest.mark.django_db


def names(client, **query):
    return [row["name"] for row in client.get("/v1/hub/", query).json()["results"]]


def test_anyone_browses_and_downloads(api, user):
    hub = make_published(user, icon=png(), short_description="Finds hulls")
    client = api()
    row = client.get("/v1/hub/").json()["results"][0]
    assert {name: row[name] for name in ("name", "version", "license", "short_description", "certification")} == {
        "name": NAME,
        "version": "1.0.0",
        "license": "MIT",
        "short_description": "Finds hulls",
        "certification": False,
    }
    assert "packages" not in row
    full = client.get(row["url"]).json()
    package = full["packages"][0]
    assert client.get(package["url"]).json() == package
    assert b"".join(client.get(f"{package['url']}download/").streaming_content) == plugin()
    picture = client.get(row["icon_url"])
    assert (picture["Content-Type"], picture["X-Content-Type-Options"]) == ("image/png", "nosniff")
    assert client.get(f"/v1/hub/{hub.pk}/versions/").json()["count"] == 1


def test_an_expired_token_hides_nothing_that_is_public(api, user):
    hub = make_published(user)
    client = api()
    client.credentials(HTTP_AUTHORIZATION="Token of-another-time")
    assert {client.get(path).status_code for path in ("/v1/hub/", f"/v1/hub/{hub.pk}/", f"/v1/hub/{hub.pk}/packages/")} == {200}


def test_what_is_not_published_is_not_there(api, user):
    make_algorithm(user, visibility="PUBLIC")
    assert api().get("/v1/hub/").json()["count"] == 0
    hub = make_published(user, "shown")
    assert api().get(f"/v1/hub/{hub.pk}/icon/").status_code == 404
    assert api().get(f"/v1/hub/{user.pk}/").status_code == 404


def test_a_package_is_found_below_its_own_algorithm_only(api, user):
    one, two = make_published(user, "one"), make_published(user, "two")
    package = newest_of(one).packages.get()
    assert api().get(f"/v1/hub/{one.pk}/packages/{package.pk}/").status_code == 200
    for path in ("", "download/"):
        assert api().get(f"/v1/hub/{two.pk}/packages/{package.pk}/{path}").status_code == 404


def test_the_engine_asks_for_the_count_then_for_everything(api, user):
    make_published(user)
    assert api().get("/v1/hub/?page_size=1").json()["count"] == 1
    row = api().get("/v1/hub/?page_size=700&fields=all").json()["results"][0]
    assert (row["language"], row["packages"][0]["version"]) == ("PYTHON", "1.0.0")
    assert row["packages"][0]["platform"]["os"] == ["LINUX"]
    assert row["updated_at"][19] == "."
    assert api().get("/v1/hub/?page_size=0&fields=all").json()["results"] == []


def test_lists_cut_long_descriptions_but_not_that_of_the_one_algorithm_of_a_name(api, user):
    long = "Finds hulls. " * 6_000
    hub = make_published(user, description=long)
    make_published(user, "other", description="short")
    rows = api().get("/v1/hub/?page_size=2&fields=all").json()["results"]
    assert [row["description"] for row in rows] == [f"{long[:2_000]}…", "short"]
    assert api().get("/v1/hub/", {"name": NAME, "fields": "all"}).json()["results"][0]["description"] == long
    assert api().get(f"/v1/hub/{hub.pk}/").json()["description"] == long


def test_lists_cost_the_same_however_much_is_published(api, user, django_assert_max_num_queries):
    for number in range(5):
        make_published(user, f"a{number}")
    client = api()
    with django_assert_max_num_queries(3):
        assert client.get("/v1/hub/?fields=all").json()["count"] == 5


def test_the_newest_version_is_shown_and_older_ones_stay(api, user):
    hub = make_published(user)
    make_package(user, source_of(hub), body="new")
    publish_algorithm(actor=user, algorithm_id=source_of(hub).pk, license="GPL_30", version="1.1.0")
    row = api().get("/v1/hub/", {"name": NAME}).json()["results"][0]
    assert (row["version"], row["license"]) == ("1.1.0", "GPL_30")
    packages = api().get(f"/v1/hub/{hub.pk}/packages/").json()["results"]
    assert [(package["version"], package["license"]) for package in packages] == [("1.1.0", "GPL_30"), ("1.0.0", "MIT")]
    old = api().get(f"/v1/hub/{hub.pk}/packages/", {"version": "1.0.0"}).json()["results"]
    assert b"".join(api().get(f"{old[0]['url']}download/").streaming_content) == plugin()
    assert api().get(f"/v1/hub/{hub.pk}/packages/", {"version": "9.9.9"}).json()["count"] == 0
    assert [row["version"] for row in api().get(f"/v1/hub/{hub.pk}/versions/").json()["results"]] == ["1.1.0", "1.0.0"]


def test_a_search_puts_names_before_keywords_before_descriptions(api, user):
    make_published(user, "a_counter", description="Counts every crane of the quay.")
    make_published(user, "b_marker", short_description="Marks a crane.")
    make_published(user, "c_finder", keywords=["crane", "hull"])
    make_published(user, "d_crane")
    make_published(user, "e_other")
    assert names(api(), q="crane") == ["d_crane", "c_finder", "b_marker", "a_counter"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cranes", ["find_cranes"]),
        ("cran", ["find_cranes"]),
        ("FIND crane", ["find_cranes"]),
        ("harbour crane", ["find_cranes"]),
        ('"night harbour"', ["find_cranes"]),
        ('"harbour night"', []),
        ("harbour -crane", ["read_names"]),
        ("nothing or names", ["read_names"]),
        ("nothing", []),
        ("the", []),
        ("'); --", []),
        ("\x00", []),
        ("&|!:*()", []),
        ("___", []),
        ("crane " * 500, ["find_cranes"]),
    ],
)
def test_searches_take_what_people_type(api, user, query, found):
    make_published(user, "find_cranes", description="Finds the cranes of a night harbour.", keywords=["night"])
    make_published(user, "read_names", description="Reads a harbour's names.")
    assert names(api(), q=query) == found


def test_filters_narrow_and_combine(api, user):
    make_published(user, "a", algo_type="INFER", algo_task=["OBJECT_DETECTION", "COUNTING"], with_demo=True)
    make_published(user, "b", algo_type="TRAIN", algo_task=["OBJECT_DETECTION"])
    make_published(user, "c", algo_type="INFER", algo_task=["OCR"])
    certify(name="c", certified=True)
    client = api()
    assert names(client, algo_type="INFER") == ["a", "c"]
    assert names(client, algo_task="object_detection") == ["a", "b"]
    assert names(client, one_click="true") == ["a"]
    assert names(client, one_click="false") == ["b", "c"]
    assert names(client, certification="true") == ["c"]
    assert names(client, license="MIT", algo_type="INFER", algo_task="OCR") == ["c"]
    assert names(client, name="a", q="b") == []
    assert names(client, algo_task="\x00") == ["a", "b", "c"]
    assert client.get("/v1/hub/", {"one_click": "perhaps"}).status_code == 400


def test_filters_look_at_the_newest_version_alone(api, user):
    hub = make_published(user, algo_task=["OCR"], keywords=["crane"])
    api(user).put(f"/v1/algos/{source_of(hub).pk}/", {"algo_task": ["COUNTING"], "keywords": ["hull"]})
    assert names(api(), algo_task="OCR", q="crane") == [NAME], "not published yet"
    publish_algorithm(actor=user, algorithm_id=source_of(hub).pk, license="MIT", version="1.0.1")
    assert names(api(), algo_task="OCR") == names(api(), q="crane") == []
    assert names(api(), algo_task="COUNTING", q="hulls") == [NAME]
