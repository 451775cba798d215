"""The bucket as the storage room uses it: parts, copies, ranges, presigned addresses, many keys at a time. The one place here that knows S3."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings

from controlplane.common.objectstore import MISSING, ObjectStore, error_code, object_store, translated_errors
from storage.errors import parts_gone

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# What S3 takes at once.
DELETED_AT_ONCE = 1000
LISTED_AT_ONCE = 1000
SMALLEST_PART = 5 * 1024 * 1024
MOST_PARTS = 10_000
# The value of S3_PUBLIC_URL where clients cannot reach the store.
NOWHERE = "none"


@dataclass(frozen=True, slots=True)
class Held:
    """What the store knows of a key: size in bytes, and the SHA-256 in hexadecimal if it has checked one over the whole object."""

    key: str
    size: int
    sha256: str = ""
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has. `etag` is its own name for it."""

    number: int
    etag: str
    size: int = 0


class Bucket:
    """Every call raises `NotFound` for a missing key and `Unavailable` when the store does not answer."""

    def __init__(self, store: ObjectStore) -> None:
        self.client: S3Client = store.client
        self.name = store.bucket

    def put(self, key: str, data: bytes | bytearray, content_type: str) -> None:
        """Store a small object."""
        body = cast("bytes", data)  # botocore sends either as it is
        with translated_errors(key):
            self.client.put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type)

    def begin_parts(self, key: str, content_type: str) -> str:
        """Begin an object that comes in parts and return the store's id for it."""
        with translated_errors(key):
            return self.client.create_multipart_upload(Bucket=self.name, Key=key, ContentType=content_type)["UploadId"]

    def put_part(self, key: str, store_id: str, number: int, data: bytes | bytearray) -> Part:
        """Store one part (5 MiB at least, but the last); numbers begin at 1. Raises `PartsGone`."""
        body = cast("bytes", data)  # botocore sends either as it is
        with translated_errors(key), known_parts():
            answer = self.client.upload_part(Bucket=self.name, Key=key, UploadId=store_id, PartNumber=number, Body=body)
        return Part(number, answer["ETag"], len(data))

    def parts(self, key: str, store_id: str) -> list[Part]:
        """Return the parts that have arrived, in order; some stores list each version of a part. Raises `PartsGone`."""
        found = []
        with translated_errors(key), known_parts():
            for page in self.client.get_paginator("list_parts").paginate(Bucket=self.name, Key=key, UploadId=store_id):
                found += [Part(part["PartNumber"], part["ETag"], part["Size"]) for part in page.get("Parts", [])]
        return sorted(found, key=lambda part: part.number)

    def weigh_parts(self, key: str, store_id: str) -> int | None:
        """Return the bytes of all parts in all their versions; None when one has more versions than can be listed. Raises `PartsGone`."""
        size, after = 0, 0
        with translated_errors(key), known_parts():
            while True:
                page = self.client.list_parts(Bucket=self.name, Key=key, UploadId=store_id, MaxParts=LISTED_AT_ONCE, PartNumberMarker=after)
                parts = page.get("Parts", [])
                if not parts or not page["IsTruncated"]:
                    return size + sum(part["Size"] for part in parts)
                # Pages go on after a number: of the last one here, versions may be left out.
                last = parts[-1]["PartNumber"]
                if last - 1 <= after and parts[0]["PartNumber"] == last:
                    return None
                after = last - 1
                size += sum(part["Size"] for part in parts if part["PartNumber"] < last)

    def join_parts(self, key: str, store_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts. Raises `PartsGone`."""
        listed: Any = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with translated_errors(key), known_parts():
            self.client.complete_multipart_upload(Bucket=self.name, Key=key, UploadId=store_id, MultipartUpload={"Parts": listed})

    def drop_parts(self, key: str, store_id: str) -> None:
        """Forget parts that are not to be joined; those of an unknown id are gone already."""
        with translated_errors(key):
            try:
                self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=store_id)
            except ClientError as error:
                if error_code(error) not in MISSING | {"NoSuchUpload"}:
                    raise

    def copy(self, source: str, target: str, content_type: str) -> None:
        """Copy inside the store, in parts when it is large."""
        extra = {"ContentType": content_type, "MetadataDirective": "REPLACE"}
        with translated_errors(source):
            self.client.copy({"Bucket": self.name, "Key": source}, self.name, target, ExtraArgs=extra)

    def open(self, key: str, first: int, last: int) -> IO[bytes]:
        """Return a stream of the bytes from `first` to `last`, both included."""
        with translated_errors(key):
            answer = self.client.get_object(Bucket=self.name, Key=key, Range=f"bytes={first}-{last}")
            return cast("IO[bytes]", answer["Body"])

    def look(self, key: str) -> Held:
        """Return what the store knows of a key."""
        with translated_errors(key):
            answer = self.client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        checksum = answer.get("ChecksumSHA256", "")
        whole = checksum and "-" not in checksum and answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
        return Held(key, answer["ContentLength"], base64.b64decode(checksum).hex() if whole else "", answer["LastModified"])

    def delete(self, keys: Sequence[str]) -> list[str]:
        """Remove up to 1000 keys and return those that the store refused; missing ones are no error."""
        if not keys:
            return []
        listed: Any = [{"Key": key} for key in keys]
        with translated_errors(keys[0]):
            answer = self.client.delete_objects(Bucket=self.name, Delete={"Objects": listed, "Quiet": True})
        return [error.get("Key", "") for error in answer.get("Errors", []) if error.get("Code") not in MISSING]

    def walk(self, prefix: str) -> Iterator[Held]:
        """Yield every key below a prefix, in the order of their bytes."""
        with translated_errors(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
                for row in page.get("Contents", []):
                    yield Held(row["Key"], row["Size"], changed_at=row["LastModified"])

    def unjoined(self, prefix: str) -> Iterator[tuple[str, str, datetime]]:
        """Yield (key, store id, begun at) of everything that came in parts and was never joined."""
        with translated_errors(prefix):
            for page in self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=prefix):
                for row in page.get("Uploads", []):
                    yield row["Key"], row["UploadId"], row["Initiated"]


class PublicBucket:
    """Signs addresses at which others reach the bucket (`S3_PUBLIC_URL`); it sends nothing itself.

    `is_reachable` is False where the installation keeps the store to itself: then there is nothing to sign.
    """

    def __init__(self, client: S3Client, name: str, *, is_reachable: bool = True) -> None:
        self.client = client
        self.name = name
        self.is_reachable = is_reachable

    def sign(self, method: str, parameters: Mapping[str, Any], seconds: int) -> str:
        """Return an address for one operation, valid for some seconds; every parameter is part of what is signed."""
        return self.client.generate_presigned_url(method, Params={"Bucket": self.name, **parameters}, ExpiresIn=seconds)

    def sign_form(self, key: str, fields: dict[str, Any], conditions: list[Any], seconds: int) -> dict[str, Any]:
        """Return address and fields of a form post."""
        return dict(self.client.generate_presigned_post(self.name, key, Fields=fields, Conditions=conditions, ExpiresIn=seconds))


@contextmanager
def known_parts() -> Iterator[None]:
    """Raise `PartsGone` for parts that the store does not know."""
    try:
        yield
    except ClientError as error:
        if error_code(error) == "NoSuchUpload":
            raise parts_gone() from error
        raise


@cache
def bucket() -> Bucket:
    """Return the bucket of the settings."""
    return Bucket(object_store())


@cache
def public_bucket() -> PublicBucket:
    """Return the signer for the public address of the settings."""
    is_reachable = settings.S3_PUBLIC_URL != NOWHERE
    client = boto3.client(
        "s3",
        endpoint_url=(settings.S3_PUBLIC_URL if is_reachable else "") or settings.S3_ENDPOINT_URL or None,
        aws_access_key_id=settings.S3_ACCESS_KEY or None,
        aws_secret_access_key=settings.S3_SECRET_KEY or None,
        region_name=settings.S3_REGION,
        config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
    )
    return PublicBucket(client, settings.S3_BUCKET, is_reachable=is_reachable)
