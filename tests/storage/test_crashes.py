"""Direct uploads that die between any two steps: the sweep leaves no orphan, and an object that was made is whole."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.core.management import call_command

from storage.bucket import Bucket, bucket
from storage.direct import begin_direct_upload, complete_upload
from storage.models import StoredObject, Upload, UploadKind
from storage.sweep import sweep
from storage.uploads import Wanted
from storage.verify import take_upload, verify_upload
from tests.storage.uploading import PICTURE, begin, complete, send, settle, verify_all


class Died(BaseException):
    """The process was killed here."""


def die(*_: object, **__: object) -> None:
    raise Died


@pytest.fixture
def traps():
    """Places where the process dies; `traps.undo()` is another process that goes on."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def dying(traps):
    """Return `dying(place, after=…)`: the process dies where this is called, before or after it has done its work."""

    def set_trap(place: str, *, after: bool) -> None:
        module, _, name = place.rpartition(".")
        whole = getattr(Bucket if module.endswith("Bucket") else import_module(module), name)

        def work_and_die(*args: object, **options: object) -> None:
            whole(*args, **options)
            raise Died

        traps.setattr(place, work_and_die if after else die)

    return set_trap


def is_clean(capsys) -> None:
    """Assert that bucket and database agree, without any repair."""
    capsys.readouterr()
    call_command("storage_check")
    assert "all is whole" in capsys.readouterr().out
    assert {held.key for held in bucket().walk("objects/")} == set(StoredObject.objects.values_list("key", flat=True))


AFTER = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@AFTER
@pytest.mark.parametrize("place", ["storage.bucket.Bucket.begin_parts", "storage.direct.begin_parts", "storage.direct.part_size_for"])
def test_an_upload_that_dies_while_it_begins_is_swept(access, dying, place, after, capsys, traps, clock):
    """`give_up` does not run either when the process is killed."""
    dying("storage.direct.give_up", after=False)
    dying(place, after=after)
    with pytest.raises(Died):
        begin_direct_upload(access, Wanted(path="one.png", content_type="image/png", size=9), kind=UploadKind.MULTIPART)
    traps.undo()
    settle(clock)
    assert not StoredObject.objects.exists()
    is_clean(capsys)


@AFTER
@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("put", "storage.bucket.Bucket.look"),
        ("put", "storage.direct.finish_upload"),
        ("put", "storage.uploads.put_in_place"),
        ("put", "storage.uploads.close_upload"),
        ("multipart", "storage.bucket.Bucket.parts"),
        ("multipart", "storage.bucket.Bucket.join_parts"),
        ("multipart", "storage.bucket.Bucket.look"),
        ("multipart", "storage.direct.verify_soon"),
    ],
)
def test_an_upload_that_dies_while_it_is_completed_is_completed_again_or_swept(
    caller, access, dying, place, method, after, capsys, traps, clock
):
    """The sender of the first one comes back, that of the second does not."""
    for path in ("one.png", "two.png"):
        send(begin(caller, PICTURE, method, path=path), PICTURE)
    one, two = Upload.objects.order_by("id")
    dying(place, after=after)
    for upload in (one, two):
        with pytest.raises(Died):
            complete_upload(access, upload.pk)
    traps.undo()
    assert complete(caller, {"uid": one.pk}).status_code in (201, 202)
    verify_all()
    assert StoredObject.objects.filter(path="one.png").exists()
    settle(clock)
    is_clean(capsys)


@AFTER
@pytest.mark.parametrize(
    "place",
    [
        "storage.bucket.Bucket.look",
        "storage.verify.hash_of",
        "storage.verify.finish_upload",
        "storage.uploads.check_room",
        "storage.uploads.put_in_place",
        "storage.uploads.close_upload",
    ],
)
def test_a_worker_that_dies_leaves_the_upload_to_the_next(caller, dying, place, after, capsys, traps, clock):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    taken = take_upload()
    assert taken
    dying(place, after=after)
    with pytest.raises(Died):
        verify_upload(taken)
    traps.undo()
    Upload.objects.filter(state="verifying").update(expires_at=taken.created_at)
    verify_all()
    assert StoredObject.objects.get().size == len(PICTURE)
    settle(clock)
    is_clean(capsys)


@AFTER
@pytest.mark.parametrize("place", ["storage.direct.discard_upload", "storage.verify.fail_upload"])
def test_an_upload_that_dies_while_it_fails_is_swept(caller, access, dying, place, after, capsys, traps, clock):
    upload = begin(caller, PICTURE, "multipart", path="one.png", sha256="0" * 64)
    send(upload, PICTURE)
    complete(caller, upload)
    taken = take_upload()
    assert taken
    dying(place, after=after)
    with pytest.raises(Died):
        verify_upload(taken)
    traps.undo()
    Upload.objects.filter(state="verifying").update(expires_at=taken.created_at)
    verify_all()
    assert not StoredObject.objects.exists()
    settle(clock)
    is_clean(capsys)


@AFTER
@pytest.mark.parametrize(
    "place",
    ["storage.bucket.Bucket.unjoined", "storage.bucket.Bucket.drop_parts", "storage.bucket.Bucket.delete", "storage.sweep.settle_keys"],
)
def test_a_sweep_that_dies_is_done_by_the_next(caller, dying, place, after, capsys, traps, clock):
    upload = begin(caller, PICTURE, "multipart", path="one.png")
    send(upload, PICTURE)
    caller.delete(f"/v1/uploads/{upload['uid']}/")
    dying(place, after=after)
    with pytest.raises(Died):
        sweep()
    traps.undo()
    settle(clock)
    is_clean(capsys)
