"""The unmodified storage clients, blocking and asynchronous, against the running service: every documented call."""

from __future__ import annotations

import hashlib
import random
import secrets
import urllib.request
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.contracts.storage_client import client_session
from tests.contracts.storage_facts import insert_objects
from tests.pictures import COINS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]
NOBODY = "0190a000-0000-7000-8000-0000000000a1"
NOISE = random.Random(4).randbytes(3_000_000)


@pytest.fixture(scope="module")
def project(person):
    """The address of a project whose storage these tests fill."""
    person.must("project", "add", person.username, "storage")
    return person.one("/v1/projects/", name="storage", namespace=person.username)["url"]


@pytest.fixture(scope="module", params=[False, True], ids=["blocking", "async"])
def storage(request, person, project):
    """One of the two clients, made with the project's address."""
    with client_session(person, is_async=request.param, project=project) as session:
        yield session


@pytest.fixture
def folder():
    """A folder of one test."""
    return f"tests/{secrets.token_hex(4)}"


@pytest.mark.parametrize(
    ("content", "name", "content_type", "stored_type"),
    [
        ("some words", "notes.txt", None, "text/plain"),
        ("некоторые слова", "notes", None, "text/plain"),
        ("<svg/>", "drawing.svg", None, "image/svg+xml"),
        (b"\x00\xff\r\n--", "raw", None, "application/octet-stream"),
        (b"{}", "found.json", "application/vnd.detections+json", "application/vnd.detections+json"),
        (COINS.read_bytes(), "coins.png", None, "image/png"),
        (NOISE, "noise.bin", None, "application/octet-stream"),
        (b"", "nothing", None, "application/octet-stream"),
        ("", "nothing.txt", None, "text/plain"),
        ("some words", None, None, "text/plain"),
        (b"some bytes", None, None, "application/octet-stream"),
        (NOISE, None, "video/mp4", "video/mp4"),
        (b"", None, "image/png", "image/png"),
    ],
)
def test_what_is_put_is_described_and_read_as_it_was(storage, folder, content, name, content_type, stored_type):
    path = f"{folder}/{name}" if name else None
    stored = storage.put(content, path, content_type=content_type)
    data = content.encode() if isinstance(content, str) else content
    assert stored["path"] == path
    assert (stored["size"], stored["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (stored["content_type"], stored["is_directory_archive"]) == (stored_type, False)
    assert storage.get_by_uid(stored["uid"]) == stored
    for stream in (False, True):
        read = storage.read(stored, stream=stream)
        assert (read["status"], read["content_type"], read["sha256"]) == (200, stored_type, stored["sha256"])


def test_a_temporary_object_says_when_it_ends(storage):
    stored = storage.put(b"soon gone")
    left = datetime.fromisoformat(stored["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)


def test_a_path_that_is_taken_raises_and_keeps_what_is_there(storage, folder):
    first = storage.put("first", f"{folder}/a.txt")
    with pytest.raises(FileExistsError, match=rf"{folder}/a\.txt.*PUT"):
        storage.put("second", f"{folder}/a.txt")
    assert storage.get(f"{folder}/a.txt") == first
    assert storage.content(first) == b"first"


def test_overwriting_replaces_the_bytes_and_keeps_the_uid(storage, folder):
    first = storage.put("first", f"{folder}/a.txt", overwrite=True)
    second = storage.put(b"\x00second", f"{folder}/a.txt", content_type="application/x-second", overwrite=True)
    assert second["uid"] == first["uid"]
    assert (second["content_type"], second["size"]) == ("application/x-second", 7)
    assert storage.content(first) == b"\x00second"
    assert len(storage.list(folder)) == 1


def test_get_finds_this_very_path(storage, folder):
    stored = storage.put("one", f"{folder}/one.txt")
    assert storage.get(f"{folder}/one.txt") == stored
    assert storage.get(f"/{folder}/one.txt") == stored
    for missing in (folder, f"{folder}/one", f"{folder}/one.txt.bak", f"{folder}/ONE.txt"):
        with pytest.raises(FileNotFoundError):
            storage.get(missing)


def test_an_unknown_uid_raises(storage):
    for call in ("get_by_uid", "read", "copy", "get_presigned_download_url"):
        argument = NOBODY if call == "get_by_uid" else {"uid": NOBODY}
        with pytest.raises(FileNotFoundError, match=NOBODY):
            getattr(storage, call)(argument)


def test_lists_are_of_all_or_of_what_begins_alike(storage, folder):
    paths = [f"{folder}/{name}" for name in ("belt 1/a.png", "belt 1/b.png", "belt 10/a.png", "belt 2")]
    stored = [storage.put("x", path, content_type="image/png") for path in paths]
    temporary = storage.put("no path")
    assert [one["path"] for one in storage.list(f"{folder}/belt 1")] == paths[:3]
    assert [one["path"] for one in storage.list(f"{folder}/belt 1/")] == paths[:2]
    assert storage.list(f"{folder}/belt 3") == []
    everything = storage.list()
    assert all(one in everything for one in [*stored, temporary])


def test_objects_are_found_by_their_hash(storage, folder):
    content = secrets.token_bytes(40)
    first, again = storage.put(content, f"{folder}/a"), storage.put(content)
    found = storage.list_by_sha256(hashlib.sha256(content).hexdigest())
    assert sorted(one["uid"] for one in found) == sorted([first["uid"], again["uid"]])
    assert storage.list_by_sha256("0" * 63 + "1") == []


def test_copies_have_a_life_of_their_own(storage, folder):
    source = storage.put(COINS, f"{folder}/coins.png")
    placed, temporary = storage.copy(source, f"{folder}/copies/coins"), storage.copy(source)
    assert (placed["path"], temporary["path"]) == (f"{folder}/copies/coins", None)
    assert len({source["uid"], placed["uid"], temporary["uid"]}) == 3
    storage.delete(source["path"], exact=True)
    for copied in (placed, temporary):
        assert [copied[name] for name in ("sha256", "size", "content_type")] == [
            source[name] for name in ("sha256", "size", "content_type")
        ]
        assert storage.read(copied)["sha256"] == source["sha256"]


def test_a_copy_replaces_only_when_asked_to(storage, folder):
    source, target = storage.put("new", f"{folder}/new"), storage.put("old", f"{folder}/old")
    with pytest.raises(FileExistsError):
        storage.copy(source, f"{folder}/old")
    assert storage.content(target) == b"old"
    assert storage.copy(source, f"{folder}/old", overwrite=True)["uid"] == target["uid"]
    assert storage.content(target) == b"new"


def test_deleting_takes_a_folder_or_one_object_and_no_neighbour(storage, folder):
    for name in ("a", "a/1", "a/2/3", "ab", "b"):
        storage.put("x", f"{folder}/{name}")
    storage.delete(f"{folder}/a/1", exact=True)
    assert names(storage, folder) == ["a", "a/2/3", "ab", "b"]
    storage.delete(f"{folder}/a")
    assert names(storage, folder) == ["ab", "b"]
    for missing, exact in ((f"{folder}/a", False), (f"{folder}/a", True), (folder, True)):
        with pytest.raises(FileNotFoundError, match="no object"):
            storage.delete(missing, exact=exact)
    storage.delete(folder)
    assert storage.list(folder) == []


def names(storage, folder):
    return [one["path"].removeprefix(f"{folder}/") for one in storage.list(folder)]


@pytest.mark.parametrize(
    ("expire_in", "seconds"), [(None, 3600), (120, 120), (timedelta(days=2), 172_800)], ids=["hour", "int", "timedelta"]
)
def test_a_presigned_link_works_without_a_token_until_then(storage, folder, expire_in, seconds):
    stored = storage.put(COINS, f"{folder}/Münzen 1.png")
    url = storage.get_presigned_download_url(stored, **({} if expire_in is None else {"expire_in": expire_in}))
    told = int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])
    assert seconds - 10 < told <= seconds
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert hashlib.sha256(answer.read()).hexdigest() == stored["sha256"]


def test_totals_follow_what_is_stored(storage, folder):
    before = storage.infos()
    storage.put(b"12345", f"{folder}/five")
    storage.put(b"1234567")
    after = storage.infos()
    temporary = "anonymous_objects"
    assert (after["count"] - before["count"], after["used_bytes"] - before["used_bytes"]) == (2, 12)
    assert (after[temporary]["count"] - before[temporary]["count"], after[temporary]["used_bytes"] - before[temporary]["used_bytes"]) == (
        1,
        7,
    )
    assert after["total_bytes"] == 10 * 1024**3
    storage.delete(folder)
    assert storage.infos()["used_bytes"] == before["used_bytes"] + 7


@pytest.mark.parametrize(
    "name",
    [
        "two  words.txt",
        "Förderband/ミカン.png",
        "100%.txt",
        "a%20b%2Fc",
        "why?.txt",
        "take #4&5=6+7;8,9",
        "'quoted' \"twice\"",
        "~home/*.[ab]{c}|<d>:@!$()^`",
        "😀",
        "e\u0301 and \u00e9",
        " ",
        "a/...",
    ],
)
def test_odd_paths_are_kept_to_the_letter(storage, folder, name):
    path = f"{folder}/{name}"
    stored = storage.put("odd", path, content_type="text/plain")
    assert stored["path"] == path
    assert storage.get(path) == stored
    assert storage.list(path) == [stored]
    assert storage.content(stored) == b"odd"
    with urllib.request.urlopen(storage.get_presigned_download_url(stored), timeout=30) as answer:
        assert answer.read() == b"odd"
    copied = storage.copy(stored, f"{path}.copy")
    assert copied["path"] == f"{path}.copy"
    storage.delete(path, exact=True)
    assert storage.list(path) == [copied]


def test_thirty_puts_at_once_are_thirty_objects(storage, folder):
    calls = [(random.Random(number).randbytes(number * 20_000), f"{folder}/{number:02}") for number in range(30)]
    stored = storage.together("put", calls)
    assert [one["sha256"] for one in stored] == [hashlib.sha256(content).hexdigest() for content, _ in calls]
    assert [one["path"] for one in storage.list(folder)] == [path for _, path in calls]
    assert [told["sha256"] for told in storage.together("read", [(one,) for one in stored])] == [one["sha256"] for one in stored]


def test_of_puts_at_once_to_one_path_one_wins(storage, folder):
    with pytest.raises(FileExistsError):
        storage.together("put", [(f"number {number}", f"{folder}/same") for number in range(8)])
    [stored] = storage.list(folder)
    assert storage.content(stored).startswith(b"number ")


def test_a_file_of_60_megabytes_goes_up_and_down(storage, folder, tmp_path):
    large = tmp_path / "large.bin"
    large.write_bytes(NOISE * 20)
    stored = storage.put(large, f"{folder}/large.bin")
    assert stored["size"] == 60_000_000
    assert stored["sha256"] == hashlib.sha256(NOISE * 20).hexdigest()
    for stream in (False, True):
        assert storage.read(stored, stream=stream)["sha256"] == stored["sha256"]
    storage.delete(folder)


def test_thousands_of_objects_come_over_several_pages(stack, storage, project, folder):
    paths = sorted(f"{folder}/{number % 7}/{number:05}" for number in range(3500))
    insert_objects(stack, project, paths)
    assert [one["path"] for one in storage.list(folder)] == paths
    assert [one["path"] for one in storage.list(f"{folder}/3/")] == [path for path in paths if f"{folder}/3/" in path]
    everywhere = [one["path"] for one in storage.list() if one["path"]]
    assert set(paths) <= set(everywhere)
    assert len(everywhere) == len(set(everywhere))
