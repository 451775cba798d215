"""The object store, on a real S3 server."""

from __future__ import annotations

import io

import boto3
import pytest
import requests
from botocore.config import Config

from controlplane.common.errors import NotFound, Unavailable
from controlplane.common.ids import uuid7
from controlplane.common.objectstore import ObjectStore, object_store


@pytest.fixture
def store():
    object_store().ensure_bucket()
    return object_store()


@pytest.fixture
def key():
    return f"tests/{uuid7()} with a space/é"


def test_what_is_put_is_read_again(store, key, tmp_path):
    store.put_bytes(key, b"hull")
    assert store.exists(key)
    assert store.get_bytes(key) == b"hull"
    with store.open_stream(key) as stream:
        assert stream.read() == b"hull"
    store.download(key, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"hull"


def test_a_part_is_read_alone(store, key):
    store.put_bytes(key, b"bow hull stern")
    assert store.get_part(key, 4, 4) == b"hull"


def test_objects_of_runs_are_given_days_beside_the_rules_of_the_bucket(store, key):
    store.ensure_bucket()
    for prefix, days in (("operators/", 30), ("runs/", 9), ("runs/", 2)):
        assert store.expire(prefix, days=days)
    rules = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in store.lifecycle_rules()}
    assert rules == {"operators/": 30, "runs/": 2}
    store.put_bytes(f"runs/{key}", b"kept")
    assert store.get_bytes(f"runs/{key}") == b"kept"


def test_pages_of_the_service_may_use_signed_addresses_beside_the_rules_of_the_bucket(store, key):
    other = {"AllowedOrigins": ["https://other.example.com"], "AllowedMethods": ["GET"], "ID": "operators"}
    store.client.put_bucket_cors(Bucket=store.bucket, CORSConfiguration={"CORSRules": [other]})
    for origin in ("https://old.example.com", "https://slipway.example.com"):
        assert store.allow_origin(origin)
    assert [rule["AllowedOrigins"] for rule in store.origin_rules()] == [["https://other.example.com"], ["https://slipway.example.com"]]
    url = store.client.generate_presigned_url("put_object", Params={"Bucket": store.bucket, "Key": key})
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type,x-amz-checksum-sha256"}
    answer = requests.options(url, headers={"Origin": "https://slipway.example.com", **asked}, timeout=30)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "https://slipway.example.com")
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
    assert requests.options(url, headers={"Origin": "https://old.example.com", **asked}, timeout=30).status_code == 403


def test_a_store_that_refuses_rules_is_told_as_such(store):
    missing = ObjectStore(store.client, "no-such-bucket")
    assert not missing.allow_origin("https://slipway.example.com")
    assert not missing.expire("runs/", days=2)


def test_a_second_put_replaces(store, key):
    store.put_bytes(key, b"one")
    store.put_file(key, io.BytesIO(b"two"))
    assert store.get_bytes(key) == b"two"


def test_a_missing_object_is_told(store, key):
    assert not store.exists(key)
    with pytest.raises(NotFound, match="No object"):
        store.get_bytes(key)


def test_deleting_twice_is_no_error(store, key):
    store.put_bytes(key, b"x")
    store.delete(key)
    store.delete(key)
    assert not store.exists(key)


def test_a_server_that_is_away_is_told_as_such():
    client = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 0}, connect_timeout=1),
    )
    with pytest.raises(Unavailable, match="does not answer"):
        ObjectStore(client, "nothing").get_bytes("x")
