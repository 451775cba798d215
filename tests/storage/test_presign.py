"""Signed addresses, at the real store: what differs from the announcement is refused there and leaves nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from django.conf import settings as service_settings

from storage.bucket import PublicBucket, bucket
from storage.models import StoredObject, Upload
from tests.storage.builders import keys_in_bucket
from tests.storage.uploading import PICTURE, begin, complete, post_or_put, send, verify_all

OTHER = bytes(len(PICTURE))


def checksum(data: bytes) -> str:
    """Return the checksum as the store writes it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def nothing_arrived() -> bool:
    """Tell whether the bucket has neither objects nor parts."""
    uploads = [(upload.key, upload.store_id) for upload in Upload.objects.filter(kind="multipart")]
    return not keys_in_bucket() and not any(bucket().parts(key, store_id) for key, store_id in uploads)


@contextmanager
def signed_at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> Iterator[None]:
    """Let addresses be signed as at another moment."""
    with monkeypatch.context() as patch:
        for module in ("botocore.auth", "botocore.signers"):
            patch.setattr(f"{module}.get_current_datetime", lambda **_: moment.replace(tzinfo=None))
        yield


@pytest.fixture
def put(caller) -> dict[str, Any]:
    """The signed request of an upload by PUT."""
    return dict(begin(caller, PICTURE, "put", path="one.png")["request"])


@pytest.fixture
def post(caller) -> dict[str, Any]:
    """The signed form of an upload by POST."""
    return dict(begin(caller, PICTURE, "post", path="one.png")["request"])


@pytest.fixture
def part(caller) -> str:
    """The signed address of the only part of an upload."""
    return str(begin(caller, PICTURE, "multipart", path="one.png")["parts"][0]["url"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH"])
def test_another_method_is_refused(put, part, method):
    for url, headers in ((put["url"], put["headers"]), (part, {})):
        answer = requests.request(method, url, data=PICTURE, headers=headers, timeout=30)
        assert answer.status_code in (403, 405), answer.text
    assert nothing_arrived()


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": None},
        {"x-amz-checksum-sha256": checksum(OTHER)},
        {"x-amz-checksum-sha256": None},
        {"x-amz-acl": "public-read"},
        {"x-amz-meta-note": "more"},
        {"x-amz-checksum-crc32": "AAAAAA=="},
        {"x-amz-copy-source": "/slipway/archives/of-others"},
    ],
    ids=str,
)
def test_other_headers_are_refused(put, changed):
    answer = requests.put(put["url"], data=PICTURE, headers=put["headers"] | changed, timeout=30)
    assert answer.status_code == 403
    assert nothing_arrived()


@pytest.mark.parametrize("data", [PICTURE + b"x", PICTURE[:-1], b""], ids=["longer", "shorter", "empty"])
def test_another_size_is_refused(put, post, part, data):
    assert post_or_put(put, data).status_code == 403
    assert post_or_put(post, data).status_code == 400
    assert requests.put(part, data=data, timeout=30).status_code == 403
    assert requests.put(put["url"], data=iter([data]), headers=put["headers"], timeout=30).status_code == 403
    assert nothing_arrived()


def test_other_bytes_of_the_same_size_are_refused(put, post):
    assert post_or_put(put, OTHER).status_code == 400
    assert post_or_put(post, OTHER).status_code == 400
    assert nothing_arrived()


def test_other_bytes_with_their_own_checksum_are_refused(put, post):
    headers = put["headers"] | {"x-amz-checksum-sha256": checksum(OTHER)}
    assert requests.put(put["url"], data=OTHER, headers=headers, timeout=30).status_code == 403
    fields = post["fields"] | {"x-amz-checksum-sha256": checksum(OTHER)}
    assert post_or_put({**post, "fields": fields}, OTHER).status_code == 403
    assert nothing_arrived()


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Type": "text/html"},
        {"key": "objects/elsewhere"},
        {"x-amz-checksum-sha256": None},
        {"x-amz-meta-note": "more"},
    ],
    ids=str,
)
def test_other_fields_of_the_form_are_refused(post, changed):
    fields = {name: value for name, value in (post["fields"] | changed).items() if value is not None}
    assert post_or_put({**post, "fields": fields}, PICTURE).status_code == 403
    assert nothing_arrived()


def test_a_form_cannot_open_the_bytes_to_everybody(caller, post):
    fields = post["fields"] | {"acl": "public-read"}
    post_or_put({**post, "fields": fields}, PICTURE)
    bare = f"{post['url']}/{post['fields']['key']}"
    assert requests.get(bare, timeout=30).status_code == 403


@pytest.mark.parametrize("change", [("partNumber=1", "partNumber=2"), ("objects/", "objects/a"), ("uploadId=", "uploadId=0")], ids=str)
def test_another_part_key_or_upload_is_refused(part, change):
    assert change[0] in part
    assert requests.put(part.replace(*change), data=PICTURE, timeout=30).status_code == 403
    assert nothing_arrived()


def test_a_part_cannot_be_copied_from_elsewhere_in_the_bucket(part):
    """The store would act as we do: whoever could name a source would read what is not theirs."""
    bucket().put("archives/of-others", PICTURE, "image/png")
    source = f"/{service_settings.S3_BUCKET}/archives/of-others"
    for data in (None, PICTURE):
        answer = requests.put(part, data=data, headers={"x-amz-copy-source": source}, timeout=30)
        assert answer.status_code == 403
    assert nothing_arrived()


def test_at_a_later_time_every_address_is_refused(caller, settings, monkeypatch):
    """They are signed as two hours ago, for an hour; the store has its own clock."""
    settings.STORAGE_DIRECT_LIFE = timedelta(hours=1)
    in_parts = begin(caller, PICTURE, "multipart")
    with signed_at(monkeypatch, datetime.now(UTC) - timedelta(hours=2)):
        requested = [begin(caller, PICTURE, method)["request"] for method in ("put", "post")]
        signed = caller.post(f"/v1/uploads/{in_parts['uid']}/parts/", {"numbers": [1]}, format="json").json()
    part = signed["parts"][0]["url"]
    assert [post_or_put(request, PICTURE).status_code for request in requested] == [403, 403]
    assert requests.put(part, data=PICTURE, timeout=30).status_code == 403
    assert nothing_arrived()


def test_addresses_live_as_long_as_the_upload_and_never_over_a_week(caller, settings, clock):
    settings.STORAGE_DIRECT_LIFE = timedelta(days=30)
    upload = begin(caller, PICTURE, "multipart")
    assert "X-Amz-Expires=6047" in upload["parts"][0]["url"]
    clock.advance(days=6, hours=23)
    again = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": [1]}, format="json").json()["parts"][0]
    assert "X-Amz-Expires=35" in again["url"]
    clock.advance(hours=2)
    answer = caller.post(f"/v1/uploads/{upload['uid']}/parts/", {"numbers": [1]}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_expired")


@pytest.mark.parametrize("method", ["put", "post"])
def test_after_completion_only_the_same_bytes_still_fit(caller, method):
    upload = begin(caller, PICTURE, method, path="one.png")
    send(upload, PICTURE)
    complete(caller, upload)
    assert post_or_put(upload["request"], OTHER).status_code == 400
    send(upload, PICTURE)
    stored = StoredObject.objects.get()
    assert bucket().open(stored.key, 0, stored.size - 1).read() == PICTURE
    assert bucket().look(stored.key).sha256 == stored.sha256


def test_bytes_in_parts_are_what_the_worker_has_read(caller, part):
    requests.put(part, data=PICTURE, timeout=30)
    upload = Upload.objects.get()
    caller.post(f"/v1/uploads/{upload.pk}/complete/", {}, format="json")
    assert requests.put(part, data=OTHER, timeout=30).status_code == 404
    verify_all()
    assert StoredObject.objects.get().sha256 == hashlib.sha256(PICTURE).hexdigest()


def test_nobody_gets_at_the_bucket_without_a_signature(put):
    post_or_put(put, PICTURE)
    bare = put["url"].partition("?")[0]
    root = bare.partition("/objects/")[0]
    for answer in (
        requests.get(bare, timeout=30),
        requests.put(bare, data=PICTURE, timeout=30),
        requests.delete(bare, timeout=30),
        requests.get(root, timeout=30),
        requests.get(root + "?uploads", timeout=30),
    ):
        assert answer.status_code == 403


def test_an_address_for_a_public_name_holds_behind_a_proxy_that_keeps_the_host():
    """As Caddy sends it: the store sees the public name, and that TLS ended at the proxy."""
    bucket().put("objects/one", PICTURE, "image/png")
    client = boto3.client(
        "s3",
        endpoint_url="https://storage.slipway.example.com",
        aws_access_key_id=service_settings.S3_ACCESS_KEY,
        aws_secret_access_key=service_settings.S3_SECRET_KEY,
        region_name=service_settings.S3_REGION,
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    url = PublicBucket(client, service_settings.S3_BUCKET).sign("get_object", {"Key": "objects/one"}, 60)
    inside = url.replace("https://storage.slipway.example.com", service_settings.S3_ENDPOINT_URL)
    host = "storage.slipway.example.com"
    headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    assert requests.get(inside, headers=headers, timeout=30).content == PICTURE
    assert requests.get(inside, timeout=30).status_code == 403
