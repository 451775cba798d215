"""The web process, its clients and the store die or sleep in the middle of an upload: the sweep leaves nothing behind, and a second try succeeds."""

from __future__ import annotations

import random
import signal
import threading
from contextlib import ExitStack

import pytest
from django.conf import settings
from django.core.management import call_command

from controlplane.accounts.keys import endpoint_token
from storage.body import BodyReader
from storage.bucket import bucket
from storage.errors import ClientSilent
from storage.models import StoredObject, Upload
from storage.sweep import sweep
from tests.storage.builders import store_file
from tests.storage.uploading import settle
from tests.storage.web_process import SlowUpload, WebProcess, Wire, running, until

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1024 * 1024
VIDEO = random.Random(7).randbytes(30 * MIB)
PATH = "belts/belt-4.mp4"
IN_FIRST_PART, AFTER_PARTS = 2 * MIB, 18 * MIB


@pytest.fixture
def web(tmp_path, transactional_db):
    with running(WebProcess(tmp_path / "web.log")) as started:
        yield started


@pytest.fixture
def token(user, project):
    return endpoint_token(user=user, project_id=project.pk, storage=True)


@pytest.fixture
def begin(token):
    """Return `begin(web, sent)`: an upload whose first bytes are sent, and in the store as far as they fill parts."""
    with ExitStack() as connections:

        def send_first(web, sent):
            upload = connections.enter_context(SlowUpload(web.port, token, PATH, VIDEO))
            upload.send(sent)
            if sent == AFTER_PARTS:
                until(has_parts, "parts in the store")
            return upload

        yield send_first


def has_parts():
    """Tell whether parts of the upload are in the store and noted."""
    row = Upload.objects.exclude(store_id="").first()
    return row is not None and len(bucket().parts(row.key, row.store_id)) >= 2


def succeeds(web, caller, token):
    """Send the whole video and read it back."""
    web.wait_ready()
    with SlowUpload(web.port, token, PATH, VIDEO) as upload:
        status, told = upload.finish()
    assert (status, told["size"]) == (201, len(VIDEO))
    assert caller.get(f"/v1/contents/{told['uid']}/").getvalue() == VIDEO


def is_whole(clock, capsys):
    """Let the last deadlines pass, and have the check say that bucket and database agree."""
    settle(clock)
    assert {held.key for held in bucket().walk("objects/")} == set(StoredObject.objects.values_list("key", flat=True))
    capsys.readouterr()
    call_command("storage_check")
    assert "all is whole" in capsys.readouterr().out


def is_empty():
    """Tell that there is no upload, no key and no part."""
    return not (Upload.objects.exists() or StoredObject.objects.exists() or list(bucket().walk("objects/")) or parts_left())


def parts_left():
    """Return what was begun in parts and neither joined nor dropped."""
    return list(bucket().unjoined("objects/"))


@pytest.mark.parametrize(("sent", "victim"), [(IN_FIRST_PART, "all"), (AFTER_PARTS, "all"), (AFTER_PARTS, "worker")])
def test_a_web_process_killed_in_an_upload_leaves_nothing_after_the_sweep(web, begin, caller, token, clock, capsys, sent, victim):
    begin(web, sent)
    if victim == "worker":
        web.kill_worker()
    else:
        web.kill()
    assert (Upload.objects.count(), len(parts_left())) == ((1, 1) if sent == AFTER_PARTS else (0, 0))
    assert not StoredObject.objects.exists()
    sweep()
    assert Upload.objects.exists() is (sent == AFTER_PARTS), "swept before its time"
    clock.advance(minutes=3)
    sweep()
    assert is_empty()
    if victim == "all":
        web.start()
    succeeds(web, caller, token)
    is_whole(clock, capsys)


@pytest.mark.parametrize(("sent", "reset"), [(IN_FIRST_PART, False), (AFTER_PARTS, False), (AFTER_PARTS, True)])
def test_a_client_that_breaks_off_leaves_nothing_at_once(web, begin, caller, token, clock, capsys, sent, reset):
    begin(web, sent).break_off(reset=reset)
    until(lambda: not Upload.objects.exists(), "the end of the upload")
    sweep()
    assert is_empty()
    succeeds(web, caller, token)
    is_whole(clock, capsys)


def test_the_replaced_object_stays_when_the_process_dies(web, begin, access, caller, token, clock, capsys):
    stored = store_file(access, b"the old one", PATH)
    begin(web, AFTER_PARTS)
    web.kill()
    clock.advance(minutes=3)
    sweep()
    assert caller.get(f"/v1/contents/{stored.pk}/").getvalue() == b"the old one"
    web.start()
    succeeds(web, caller, token)
    assert StoredObject.objects.get().pk == stored.pk
    is_whole(clock, capsys)


def test_a_process_that_slept_past_its_time_is_refused_and_leaves_nothing(web, begin, caller, token, clock, capsys):
    upload = begin(web, AFTER_PARTS)
    web.signal(signal.SIGSTOP)
    clock.advance(minutes=3)
    assert sweep().abandoned == 1
    web.signal(signal.SIGCONT)
    status, told = upload.finish()
    assert (status, told["code"]) == (409, "upload_expired"), told
    assert not StoredObject.objects.exists()
    assert not Upload.objects.exists()
    succeeds(web, caller, token)
    is_whole(clock, capsys)


def test_a_store_that_goes_away_refuses_the_upload_and_leaves_nothing(tmp_path, web, begin, caller, token, clock, capsys):
    wire = Wire(settings.S3_ENDPOINT_URL)
    with running(WebProcess(tmp_path / "cut.log", S3_ENDPOINT_URL=wire.url)) as cut_off:
        upload = begin(cut_off, AFTER_PARTS)
        wire.cut()
        status, told = upload.finish()
    assert (status, told["code"]) == (503, "object_store"), told
    assert not Upload.objects.exists()
    sweep()
    assert is_empty()
    succeeds(web, caller, token)
    is_whole(clock, capsys)


class Halting:
    """A body that stops coming after its first bytes."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.first = b"some bytes"

    def read(self, size: int, /) -> bytes:
        """Return the first bytes, then wait."""
        first, self.first = self.first, b""
        if not first:
            self.over.wait()
        return first


def test_a_client_that_stops_sending_is_told_so():
    body = Halting()
    with BodyReader(body, silence=0.05) as reader:
        assert next(reader) == b"some bytes"
        with pytest.raises(ClientSilent) as refused:
            next(reader)
    body.over.set()
    assert refused.value.status == 408
    assert list(reader) == []
