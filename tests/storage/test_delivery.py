"""Handing out bytes: ranges, conditions, headers that keep browsers from running things, signed links, a store that hiccups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.utils.http import http_date
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from controlplane.common.clock import now
from controlplane.common.errors import Unavailable
from storage.access import StorageAccess
from storage.bucket import Bucket, bucket, public_bucket
from storage.delivery import NotSatisfiable, asked_span, signed_delivery_url, stream_of
from storage.delivery import Span as Piece
from storage.models import StoredObject
from tests.storage.builders import store_file
from tests.storage.test_presign import signed_at

DATA = bytes(range(256)) * 40


@pytest.fixture
def stored(access):
    """An object of 10 KB."""
    return store_file(access, DATA, "belts/4.bin", "video/mp4")


def address(stored):
    """Return the path of an object's bytes."""
    return f"/v1/contents/{stored.pk}/"


@pytest.mark.django_db
def test_the_whole_comes_with_its_type_length_and_tag(caller, stored):
    answer = caller.get(address(stored))
    assert (answer.status_code, answer.getvalue()) == (200, DATA)
    assert answer["Content-Type"] == "video/mp4"
    assert answer["Content-Length"] == str(len(DATA))
    assert answer["ETag"] == f'"{sha256(DATA).hexdigest()}"'
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Disposition"] == 'inline; filename="4.bin"'


@pytest.mark.django_db
def test_a_look_brings_the_headers_without_the_bytes(caller, stored):
    answer = caller.head(address(stored))
    assert (answer.status_code, answer.getvalue(), answer["Content-Length"]) == (200, b"", str(len(DATA)))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=100-199", 206, 100, 199),
        ("bytes=10000-", 206, 10000, 10239),
        ("bytes=-40", 206, 10200, 10239),
        ("bytes=-999999", 206, 0, 10239),
        ("bytes=10000-999999", 206, 10000, 10239),
        ("bytes=0-1,5-6", 200, 0, 10239),
        ("bytes=9-5", 200, 0, 10239),
        ("pages=1-2", 200, 0, 10239),
        ("bytes=-", 200, 0, 10239),
        (f"bytes=0-{'9' * 5000}", 200, 0, 10239),
        (f"bytes=-{'9' * 5000}", 200, 0, 10239),
    ],
)
def test_a_range_is_served(caller, stored, asked, status, first, last):
    answer = caller.get(address(stored), HTTP_RANGE=asked)
    assert (answer.status_code, answer.getvalue()) == (status, DATA[first : last + 1])
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer.get("Content-Range") == (f"bytes {first}-{last}/10240" if status == 206 else None)


@pytest.mark.django_db
@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=10240-10241", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(caller, stored, asked):
    answer = caller.get(address(stored), HTTP_RANGE=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */10240")


@given(first=st.integers(0, 300), length=st.integers(0, 300), size=st.integers(0, 200))
def test_a_span_lies_within_the_object(first, length, size):
    stored = StoredObject(size=size, sha256="0" * 64)
    try:
        span = asked_span(stored, f"bytes={first}-{first + length}", None)
    except NotSatisfiable:
        assert first >= size
        return
    assert span == Piece(first, min(first + length, size - 1))


@pytest.mark.django_db
def test_who_has_the_bytes_is_not_sent_them_again(caller, stored):
    tag = caller.head(address(stored))["ETag"]
    assert caller.get(address(stored), HTTP_IF_NONE_MATCH=tag).status_code == 304
    assert caller.get(address(stored), HTTP_IF_MODIFIED_SINCE=http_date(stored.updated_at.timestamp())).status_code == 304
    assert caller.get(address(stored), HTTP_IF_MATCH='"other"').status_code == 412
    assert caller.get(address(stored), HTTP_IF_NONE_MATCH='"other"').getvalue() == DATA


@pytest.mark.django_db
def test_a_range_of_another_version_brings_the_whole(caller, stored):
    tag = caller.head(address(stored))["ETag"]
    assert caller.get(address(stored), HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=tag).getvalue() == DATA[:2]
    assert caller.get(address(stored), HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE='"other"').getvalue() == DATA
    dated = http_date(stored.updated_at.timestamp())
    assert caller.get(address(stored), HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE=dated).getvalue() == DATA[:2]
    assert caller.get(address(stored), HTTP_RANGE="bytes=0-1", HTTP_IF_RANGE="yesterday").getvalue() == DATA


@pytest.mark.django_db
@pytest.mark.parametrize("accepted", ["image/png", "video/*", "application/octet-stream", "text/html;q=0.1", "*/*"])
def test_the_bytes_come_whatever_a_client_would_rather_have(caller, stored, accepted):
    assert caller.get(address(stored), HTTP_ACCEPT=accepted).getvalue() == DATA
    assert caller.get(address(stored) + "?format=xml").getvalue() == DATA


@pytest.mark.django_db
def test_an_empty_object_is_served(caller, access):
    answer = caller.get(address(store_file(access, b"", "empty")))
    assert (answer.status_code, answer.getvalue(), answer["Content-Length"]) == (200, b"", "0")


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "application/pdf"])
def test_what_could_run_in_a_browser_is_saved_and_not_sniffed(caller, access, kind):
    answer = caller.get(address(store_file(access, b"<script>alert(1)</script>", "x.html", kind)))
    assert answer.getvalue() == b"<script>alert(1)</script>"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer["Content-Security-Policy"]


@pytest.mark.django_db
def test_a_link_from_the_store_says_the_same_of_dangerous_types(caller, access):
    stored = store_file(access, b"<script>", "x.html", "text/html")
    link = caller.put(f"/v1/presigned-urls/download/{stored.pk}", {"expire_at": (now() + timedelta(hours=1)).isoformat()}).json()
    with urlopen(link["presigned_download_url"]) as answer:
        assert answer.read() == b"<script>"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="x.html"'


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "HEAD"])
def test_a_link_is_for_reading_only(caller, stored, method):
    link = caller.put(f"/v1/presigned-urls/download/{stored.pk}", {"expire_at": (now() + timedelta(hours=1)).isoformat()}).json()
    request = Request(link["presigned_download_url"], data=b"x" if method in ("PUT", "POST") else None, method=method)
    with pytest.raises(HTTPError) as refusal:
        urlopen(request)
    assert refusal.value.code in (403, 405)
    refusal.value.close()
    assert caller.get(address(stored)).getvalue() == DATA


@pytest.mark.django_db
def test_a_link_of_the_past_is_refused_by_the_store(stored, monkeypatch):
    with signed_at(monkeypatch, datetime.now(UTC) - timedelta(hours=2)):
        link = public_bucket().sign("get_object", {"Key": stored.key}, 3600)
    with pytest.raises(HTTPError) as refusal:
        urlopen(link)
    assert refusal.value.code == 403
    refusal.value.close()


@pytest.mark.django_db
@pytest.mark.parametrize("delta", [timedelta(seconds=-1), timedelta(days=8)])
def test_a_link_ends_later_than_now_and_within_a_week(caller, stored, delta):
    answer = caller.put(f"/v1/presigned-urls/download/{stored.pk}", {"expire_at": (now() + delta).isoformat()})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["expire_at"])


@pytest.mark.django_db
def test_a_link_may_be_asked_for_as_the_public_client_does(caller, stored):
    body = f"expire_at={(now() + timedelta(hours=1)).isoformat()}".replace("+", "%2B")
    answer = caller.generic("PUT", f"/v1/presigned-urls/download/{stored.pk}", body, content_type="application/x-www-form-urlencoded")
    with urlopen(answer.json()["presigned_download_url"]) as found:
        assert found.read() == DATA


@pytest.mark.django_db
def test_where_the_store_is_out_of_reach_links_lead_here(caller, stored, monkeypatch):
    monkeypatch.setattr(public_bucket(), "is_reachable", False)
    link = caller.put(f"/v1/presigned-urls/download/{stored.pk}", {"expire_at": (now() + timedelta(hours=1)).isoformat()}).json()
    path = link["presigned_download_url"].replace("http://127.0.0.1:8000", "")
    assert APIClient().get(path).getvalue() == DATA


@pytest.mark.django_db
def test_a_signed_address_needs_no_token_until_it_is_over(stored, monkeypatch):
    path = signed_delivery_url(stored, now() + timedelta(minutes=5)).replace("http://127.0.0.1:8000", "")
    assert APIClient().get(path, HTTP_RANGE="bytes=0-3").getvalue() == DATA[:4]
    refusal = APIClient().get(path.replace("expires=", "expires=1"))
    assert (refusal.status_code, refusal.json()["code"]) == (401, "link_over")
    store_file(StorageAccess(stored.created_by_id, stored.project_id, may_write=True), b"other", "belts/4.bin")
    assert APIClient().get(path).status_code == 401
    StoredObject.objects.filter(pk=stored.pk).update(key=stored.key)
    assert APIClient().get(path.replace("signature=", "signature=é")).status_code == 401
    assert APIClient().get(path[:-1] + ("a" if path[-1] != "a" else "b")).status_code == 401
    later = now() + timedelta(minutes=6)
    monkeypatch.setattr("storage.delivery.now", lambda: later)
    assert APIClient().get(path).status_code == 401


class Hiccup:
    """A stream that breaks after some bytes."""

    def __init__(self, data: bytes, good: int) -> None:
        self.stream, self.good = BytesIO(data), good

    def read(self, size: int) -> bytes:
        """Return a few bytes, then fail."""
        if self.good <= 0:
            raise ConnectionResetError("the store went away")
        taken = self.stream.read(min(1000, self.good))
        self.good -= len(taken)
        return taken

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.django_db
@pytest.mark.parametrize("breaks", [1, 3])
def test_a_broken_stream_goes_on_where_it_was(stored, monkeypatch, breaks):
    opened = []

    def open_key(self, key, first, last):
        opened.append(first)
        rest = DATA[first : last + 1]
        return Hiccup(rest, 2500) if len(opened) <= breaks else BytesIO(rest)

    monkeypatch.setattr(Bucket, "open", open_key)
    assert b"".join(stream_of(stored, Piece(0, len(DATA) - 1))) == DATA
    assert opened == [2500 * number for number in range(breaks + 1)]


@pytest.mark.django_db
def test_a_stream_that_keeps_breaking_ends_in_an_error_and_not_in_a_short_file(stored, monkeypatch):
    monkeypatch.setattr(Bucket, "open", lambda self, key, first, last: Hiccup(DATA, 0))
    with pytest.raises(ConnectionResetError):
        b"".join(stream_of(stored, Piece(0, len(DATA) - 1)))


@pytest.mark.django_db
def test_a_store_that_does_not_answer_is_a_503(caller, stored, monkeypatch):
    def no_answer(*_):
        raise Unavailable("object_store", "The object store does not answer.")

    monkeypatch.setattr(Bucket, "open", no_answer)
    assert caller.get(address(stored)).status_code == 503


@pytest.mark.django_db
def test_an_object_whose_bytes_are_gone_is_a_404(caller, stored):
    bucket().delete([stored.key])
    refusal = caller.get(address(stored))
    assert (refusal.status_code, refusal.json()["code"]) == (404, "bytes_lost")
    assert stored.key not in refusal.json()["detail"]
