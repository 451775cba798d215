"""Bucket and database compared: what differs is found, and repaired where nothing is lost by it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command

from controlplane.common.clock import now
from controlplane.common.errors import Unavailable
from storage import check
from storage.bucket import bucket
from storage.check import Kind, Repairs, Totals, check_storage, log_check
from storage.models import DiscardedKey, Space, StoredObject
from storage.sweep import sweep
from storage.uploads import discard
from tests.factories import make_project
from tests.storage.builders import access_to, store_file, traces
from tests.storage.uploading import PICTURE, begin, send

REPAIR = Repairs(repair=True)
FORGET = Repairs(repair=True, forget_missing=True)


@pytest.fixture
def run(capsys):
    """Return `run(*words)`: the command's exit code and what it printed."""

    def run_check(*words: str) -> tuple[int, str]:
        code = 0
        try:
            call_command("storage_check", *words)
        except SystemExit as end:
            code = int(str(end.code))
        return code, capsys.readouterr().out

    return run_check


@pytest.fixture
def stored(access):
    """Two objects, one of them temporary."""
    return store_file(access, PICTURE, "belt 1/à bord.png"), store_file(access, b"x")


def found(repairs: Repairs) -> list[tuple[Kind, bool]]:
    """Return kinds of findings and whether they were repaired."""
    return [(finding.kind, finding.repaired) for finding in check_storage(Totals(), repairs=repairs)]


def test_what_is_whole_is_said_with_how_much_it_is(stored, run):
    assert run() == (0, f"2 objects, {len(PICTURE) + 1} bytes: all is whole\n")


def test_an_empty_storage_is_whole(db, run):
    assert run() == (0, "0 objects, 0 bytes: all is whole\n")


def test_bytes_without_a_row_are_found_after_an_hour_and_removed_by_the_repair(stored, run, clock):
    bucket().put("objects/stray", b"lost", "image/png")
    assert run()[0] == 0
    clock.advance(minutes=61)
    before = traces()
    code, text = run()
    assert code == 1
    assert "bytes without a row: objects/stray, 4 bytes" in text
    assert "1 findings, 1 not repaired" in text
    assert traces() == before
    code, text = run("--repair")
    assert (code, "repaired" in text) == (0, True)
    assert {held.key for held in bucket().walk("objects/")} == set(StoredObject.objects.values_list("key", flat=True))
    assert run()[0] == 0


def test_bytes_of_other_rooms_are_none_of_its_business(db, run, clock):
    bucket().put("archives/one.zip", b"zip", "application/zip")
    clock.advance(hours=2)
    assert run()[0] == 0
    assert bucket().look("archives/one.zip").size == 3


def test_uploads_under_way_and_keys_that_wait_for_their_removal_are_whole(stored, caller, run, clock):
    for method in ("put", "multipart"):
        send(begin(caller, PICTURE, method), PICTURE)
    bucket().put("objects/discarded", b"x", "image/png")
    discard(["objects/discarded", "objects/gone"])
    clock.advance(hours=23)
    assert run()[0] == 0


def test_an_object_without_its_bytes_stays_until_somebody_says_that_they_are_lost(stored, run, project):
    kept, lost = stored[1], stored[0]
    bucket().delete([lost.key])
    for words in ((), ("--repair",)):
        code, text = run(*words)
        assert code == 1
        assert (
            f"object without its bytes: {project.path}: 'belt 1/à bord.png', uid {lost.pk}, {len(PICTURE)} bytes, the store has nothing"
            in text
        )
        assert "restore the named keys" in text
        assert StoredObject.objects.count() == 2
    code, text = run("--repair", "--forget-missing")
    assert (code, "restore" in text) == (0, False)
    assert list(StoredObject.objects.all()) == [kept]
    space = Space.objects.get()
    assert (space.count, space.used_bytes, space.temporary_count, space.temporary_bytes) == (1, 1, 1, 1)
    assert run()[0] == 0


def test_an_object_whose_bytes_have_another_size_is_found(stored, run):
    bucket().put(stored[0].key, b"short", "image/png")
    code, text = run()
    assert (code, "the store has 5 bytes" in text) == (1, True)
    assert found(FORGET) == [(Kind.NO_BYTES, True)]
    sweep()
    assert [held.key for held in bucket().walk("objects/")] == [stored[1].key]


def test_bytes_that_came_back_make_it_whole_again(stored, run):
    bucket().delete([stored[0].key])
    assert run()[0] == 1
    bucket().put(stored[0].key, PICTURE, "image/png")
    assert run()[0] == 0


def test_forgetting_needs_the_word_repair_too(db):
    with pytest.raises(CommandError, match="give --repair, too"):
        call_command("storage_check", "--forget-missing")


def test_parts_without_an_upload_are_found_after_a_day_and_dropped(caller, run, clock):
    begin(caller, PICTURE, "multipart")
    store_id = bucket().begin_parts("objects/stray", "image/png")
    bucket().put_part("objects/stray", store_id, 1, b"lost")
    clock.advance(hours=23)
    assert run()[0] == 0
    clock.advance(hours=2)
    code, text = run()
    assert (code, "parts without an upload: objects/stray" in text) == (1, True)
    assert run("--repair")[0] == 0
    assert [key for key, _, _ in bucket().unjoined("objects/")] != ["objects/stray"]
    assert run()[0] == 0


def test_wrong_totals_are_found_and_counted_again(stored, run, project):
    right = Space.objects.values().get()
    Space.objects.update(count=7, temporary_bytes=0)
    code, text = run()
    assert code == 1
    assert f"wrong totals: {project.path}: count 7 instead of 2, temporary_bytes 0 instead of 1" in text
    assert run("--repair")[0] == 0
    assert Space.objects.values().get() == right


def test_one_project_is_checked_alone(stored, user, project, run, clock):
    other = make_project(user, "dock")
    store_file(access_to(other), b"other", "one")
    Space.objects.update(count=7)
    for where in (project, other):
        bucket().put(f"objects/{where.pk.hex}/stray", b"lost", "image/png")
    clock.advance(hours=2)
    for name in (other.path, str(other.pk)):
        code, text = run("--project", name)
        assert code == 1
        assert "1 objects, 5 bytes: 2 findings" in text
        assert project.pk.hex not in text
    assert run("--project", other.path, "--repair")[0] == 0
    assert run()[0] == 1


@pytest.mark.parametrize("name", ["nobody/nothing", "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11", ""])
def test_an_unknown_project_is_told(db, name):
    with pytest.raises(CommandError, match="There is no project"):
        call_command("storage_quota", name)


def test_a_store_that_is_away_is_told(db, monkeypatch):
    def away(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    monkeypatch.setattr("storage.bucket.Bucket.walk", away)
    with pytest.raises(CommandError, match="not complete"):
        call_command("storage_check")


def test_the_daily_check_logs_and_changes_nothing(stored, clock, caplog):
    bucket().put("objects/stray", b"lost", "image/png")
    bucket().delete([stored[0].key])
    Space.objects.update(count=7)
    clock.advance(minutes=61)
    before = traces()
    totals = log_check()
    assert (totals.found, totals.unrepaired) == (3, 3)
    assert [record.levelname for record in caplog.records if "storage check" in record.message].count("ERROR") == 3
    assert traces() == before


def test_what_changes_beside_the_check_is_no_finding(stored, access, monkeypatch, clock):
    """The bucket was listed before the row was deleted, or written; each suspicion is looked at once more."""
    listed = list(bucket().walk("objects/"))
    sweep_away, _ = stored
    DiscardedKey.objects.create(key=sweep_away.key, due_at=now())
    sweep_away.delete()
    Space.objects.update(count=1, used_bytes=1)
    later = store_file(access, b"later", "later")
    monkeypatch.setattr(
        check, "side_by_side", lambda prefix: iter([(held.key, held, None, False) for held in listed] + [(later.key, None, later, True)])
    )
    clock.advance(hours=2)
    assert found(REPAIR) == []


def test_thousands_of_rows_are_read_in_order_some_at_a_time(project, monkeypatch, django_assert_num_queries):
    """Both sides by the bytes of their keys: `-` and `~` and capitals sort elsewhere in most languages."""
    monkeypatch.setattr(check, "BATCH", 4)
    keys = [f"objects/{name}" for name in ("a", "A", "a-b", "a~", "ab", "a/b", "B", "é", "1", "_")]
    StoredObject.objects.bulk_create(
        [StoredObject(project=project, path=key, key=key, size=1, sha256="0" * 64, content_type="a/b") for key in keys]
    )
    with django_assert_num_queries(4):
        rows = [row.key for row in check.in_order(StoredObject.objects.all(), "objects/")]
    assert rows == sorted(keys, key=str.encode)
    assert all(one.encode() < two.encode() for one, two in pairwise(rows))


def test_the_store_lists_in_the_same_order(access):
    for number in range(12):
        store_file(access, b"x", f"{number}")
    listed = [held.key for held in bucket().walk("objects/")]
    assert listed == list(StoredObject.objects.order_by("key").values_list("key", flat=True))


def test_a_quota_is_shown_set_and_given_back(caller, project, capsys, settings):
    settings.STORAGE_PROJECT_QUOTA = 10_000_000_000
    caller.send_file("one.bin", b"x" * 1500)
    for words, quota in (
        ((), "10.0 GB"),
        (("2KB",), "2.0 KB"),
        (("1.5 GiB",), "1.6 GB"),
        (("700",), "700 bytes"),
        (("default",), "10.0 GB"),
    ):
        call_command("storage_quota", project.path, *words)
        assert capsys.readouterr().out == f"{project.path}: 1.5 KB of {quota} in 1 objects, 0 bytes reserved by uploads\n"
    assert caller.get("/v1/infos").json()["total_bytes"] == 10_000_000_000


@pytest.mark.parametrize("size", ["much", "-5", "5XB", "99999999TB", "1e9"])
def test_what_is_no_size_changes_nothing(project, size):
    with pytest.raises(CommandError, match="is no size"):
        call_command("storage_quota", project.path, size)
    assert not Space.objects.exclude(quota_bytes=None).exists()
