"""Packages and demo workflows: what is taken, what is refused, and that nothing of a refused upload stays."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from controlplane.hub.models import DemoWorkflow, Package
from tests.hub.algorithms import LINUX, NAME, demo, make_algorithm, make_demo, make_package, plugin, upload, zipped
from tests.projects.archives import SOUND

pytestmark = pytest.mark.django_db


def send(client, algorithm, content, **platform):
    """Upload a package as the command line client does: lists as parts of JSON."""
    fields = {name: json.dumps(value) if isinstance(value, list) else value for name, value in platform.items()}
    return client.post(f"/v1/algos/{algorithm.pk}/packages/", {**fields, "file": upload(content)}, format="multipart")


def linked():
    """Return a plugin with a symbolic link in it."""
    stream = io.BytesIO(plugin())
    with zipfile.ZipFile(stream, "a") as archive:
        link = zipfile.ZipInfo("secrets.py")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return stream.getvalue()


def test_a_package_is_stored_told_and_downloaded_again(api, user):
    algorithm = make_algorithm(user)
    answer = send(api(user), algorithm, plugin(), **LINUX)
    assert answer.status_code == 201, answer.json()
    row = answer.json()
    assert (row["tag"], row["language"]) == ("v1", "PYTHON")
    assert row["platform"] == {
        "os": ["LINUX"],
        "ikomia": ">=0.16.1",
        "python": ">=3.10,<3.14.0",
        "architecture": ["X86_64"],
        "features": [],
    }
    download = api(user).get(f"{row['url']}download/")
    assert download["Content-Type"] == "application/zip"
    assert b"".join(download.streaming_content) == plugin()
    assert api(user).get(row["url"]).json() == row


def test_what_an_upload_does_not_tell_comes_from_the_plugin(api, user):
    told = {"ikomia_min_version": "0.15", "ikomia_max_version": "0.16.1", "python_max_version": "3.11", "os": ["LINUX"]}
    row = send(api(user), make_algorithm(user, defaults=told), plugin()).json()
    assert row["platform"] == {"os": ["LINUX"], "ikomia": ">=0.15.0,<0.17.0", "python": ">=3.0,<3.12.0", "architecture": [], "features": []}


def test_without_a_word_a_package_is_for_both_systems(api, user):
    row = send(api(user), make_algorithm(user), plugin(), python_min_version='["3.11"]', os="").json()
    assert (row["os"], row["platform"]["python"], row["platform"]["ikomia"]) == (["LINUX", "WINDOWS"], ">=3.11", ">=0.15.0")


def test_a_newer_package_of_a_platform_takes_the_place_of_the_older(api, user):
    algorithm = make_algorithm(user)
    client = api(user)
    for body in ("one", "two"):
        send(client, algorithm, plugin(body=body), **LINUX)
    send(client, algorithm, plugin(), **{**LINUX, "os": ["WINDOWS"]})
    rows = client.get(f"/v1/algos/{algorithm.pk}/packages/").json()["results"]
    assert [row["tag"] for row in rows] == ["v2", "v3"]
    assert [row["tag"] for row in client.get(f"/v1/algos/{algorithm.pk}/").json()["packages"]] == ["v2", "v3"]
    old = client.get(f"/v1/algos/{algorithm.pk}/packages/", {"tag": "v1"}).json()["results"]
    assert b"".join(client.get(f"{old[0]['url']}download/").streaming_content) == plugin(body="one")
    assert client.get(f"/v1/algos/{algorithm.pk}/packages/", {"tag": "x"}).json()["count"] == 0


def test_the_order_of_lists_makes_no_other_platform(user):
    algorithm = make_algorithm(user)
    make_package(user, algorithm, os=["LINUX", "WINDOWS"])
    make_package(user, algorithm, os=["WINDOWS", "LINUX"])
    assert list(Package.objects.order_by("number").values_list("retired", flat=True)) == [True, False]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "invalid"),
        (b"no zip", "not_a_zip"),
        (plugin()[:-30], "zip_truncated"),
        (zipped({f"{NAME}.py": ""}), "package_incomplete"),
        (zipped({f"{NAME}/{NAME}.py": "", f"{NAME}/{NAME}_process.py": ""}), "package_incomplete"),
        (zipped({f"lib{NAME}.so": "\x7fELF"}), "package_not_python"),
        (zipped({f"{NAME}.py": "", f"{NAME}_process.py": "", "../../etc/cron.d/x": ""}), "unsafe_name"),
        (zipped({f"{NAME}.py": "", f"{NAME}_process.py": "", "/etc/x": ""}), "unsafe_name"),
        (zipped({f"{NAME}.py": "", f"{NAME}_process.py": "", "a.bin": b"\0" * 4_000_000}), "compression_ratio"),
        (zipped({f"{NAME}.py": "", f"{NAME}_process.py": "", "A.py": "", "a.py": ""}), "ambiguous_name"),
        (linked(), "special_file"),
    ],
)
def test_a_hostile_or_useless_package_is_refused_and_leaves_nothing(api, user, objects, content, code):
    algorithm = make_algorithm(user)
    answer = send(api(user), algorithm, content, **LINUX)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.json()
    assert not Package.objects.exists()
    assert objects() == []


def test_a_folder_in_the_zip_is_told_as_what_it_is(api, user):
    answer = send(api(user), make_algorithm(user), zipped({f"{NAME}/{NAME}.py": "", f"{NAME}/{NAME}_process.py": ""}))
    assert "not the folder itself" in answer.json()["detail"]


@pytest.mark.parametrize(
    "platform",
    [
        {"python_min_version": "3.12", "python_max_version": "3.12"},
        {"ikomia_min_version": "0.17", "ikomia_max_version": "0.16"},
        {"python_min_version": ">=3"},
        {"os": ["BEOS"]},
        {"architecture": ["x 86"]},
        {"architecture": ["<script>"]},
    ],
)
def test_a_platform_that_cannot_be_is_refused_and_leaves_nothing(api, user, objects, platform):
    answer = send(api(user), make_algorithm(user), plugin(), **platform)
    assert answer.status_code == 400, answer.json()
    assert not Package.objects.exists()
    assert objects() == []


def test_a_package_over_the_limit_is_refused_before_it_is_read(api, user, objects, settings):
    settings.PUSH_MAX_BYTES = -(64 * 1024) + 100
    answer = send(api(user), make_algorithm(user), plugin())
    assert (answer.status_code, answer.json()["code"]) == (413, "archive_too_large")
    settings.PUSH_MAX_BYTES = 100
    answer = send(api(user), make_algorithm(user, "other"), plugin("other"))
    assert (answer.status_code, answer.json()["code"]) == (400, "archive_too_large")
    assert objects() == []


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_get_different_tags_and_one_is_current(api, user):
    algorithm = make_algorithm(user)
    clients = [api(user) for _ in range(5)]

    def once(client):
        try:
            return send(client, algorithm, plugin(), **LINUX).json()["tag"]
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(once, clients)) == ["v1", "v2", "v3", "v4", "v5"]
    assert [package.tag for package in Package.objects.filter(retired=False)] == ["v5"]


def test_a_demo_workflow_takes_the_place_of_the_one_before(api, user, objects):
    algorithm = make_algorithm(user)
    where = f"/v1/algos/{algorithm.pk}/demo-workflows/"
    for body in ("one", "two"):
        answer = api(user).post(where, {"archive": upload(demo(body=body))}, format="multipart")
        assert answer.status_code == 201, answer.json()
    rows = api(user).get(where).json()["results"]
    assert [row["name"] for row in rows] == [f"{NAME} demo"]
    assert b"".join(api(user).get(rows[0]["archive"]).streaming_content) == demo(body="two")
    assert len(objects()) == 1
    assert api(user).get(f"/v1/algos/{algorithm.pk}/").json()["demo_workflow"] == rows[0]["url"]


@pytest.mark.parametrize(
    ("content", "code"), [(b"no zip", "not_a_zip"), (zipped({"workflow.json": json.dumps(SOUND)}), "demo_without_algorithm")]
)
def test_a_demo_that_is_none_is_refused_and_the_former_stays(api, user, objects, content, code):
    algorithm = make_algorithm(user)
    make_demo(user, algorithm)
    before = objects()
    answer = api(user).post(f"/v1/algos/{algorithm.pk}/demo-workflows/", {"archive": upload(content)}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert (DemoWorkflow.objects.get().archive_key, objects()) == (before[0], before)
