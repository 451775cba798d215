"""Objects in S3: the one place that speaks to the bucket on behalf of every room below storage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from controlplane.common.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MISSING = {"404", "NoSuchKey", "NotFound"}


class ObjectStore:
    """A bucket. Keys are `/`-separated paths. Errors: `NotFound`, `Unavailable`."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self.client = client
        self.bucket = bucket

    def ensure_bucket(self) -> None:
        """Create the bucket unless it exists."""
        with translated_errors(self.bucket):
            try:
                self.client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if error_code(error) not in MISSING | {"NoSuchBucket"}:
                    raise
                self.client.create_bucket(Bucket=self.bucket)

    def expire(self, prefix: str, *, days: int) -> bool:
        """Let the store delete objects below a prefix after some days, beside the bucket's other rules; False when it knows no such rule."""
        name = f"expire-{prefix.strip('/')}"
        rule: Any = {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}
        try:
            others = [other for other in self.lifecycle_rules() if other.get("ID") != name and other.get("Filter") != rule["Filter"]]
            self.client.put_bucket_lifecycle_configuration(Bucket=self.bucket, LifecycleConfiguration={"Rules": [*others, rule]})
        except ClientError:
            return False
        return True

    def lifecycle_rules(self) -> list[Any]:
        """Return the bucket's rules."""
        try:
            return list(self.client.get_bucket_lifecycle_configuration(Bucket=self.bucket)["Rules"])
        except ClientError as error:
            if error_code(error) == "NoSuchLifecycleConfiguration":
                return []
            raise

    def allow_origin(self, origin: str) -> bool:
        """Let pages of this origin use signed addresses, beside the bucket's other rules; False when the store knows no such rule."""
        rule: Any = {
            "ID": "slipway",
            "AllowedOrigins": [origin],
            "AllowedMethods": ["GET", "HEAD", "PUT", "POST"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3600,
        }
        try:
            others = [other for other in self.origin_rules() if other.get("ID") != rule["ID"]]
            self.client.put_bucket_cors(Bucket=self.bucket, CORSConfiguration={"CORSRules": [*others, rule]})
        except ClientError:
            return False
        return True

    def origin_rules(self) -> list[Any]:
        """Return which pages may use the bucket."""
        try:
            return list(self.client.get_bucket_cors(Bucket=self.bucket)["CORSRules"])
        except ClientError as error:
            if error_code(error) == "NoSuchCORSConfiguration":
                return []
            raise

    def put_bytes(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Store `data` under `key`, replacing what was there."""
        self.put_file(key, io.BytesIO(data), content_type=content_type)

    def put_file(self, key: str, stream: IO[bytes], *, content_type: str = "application/octet-stream") -> None:
        """Store a stream (multipart for large ones) under `key`."""
        with translated_errors(key):
            self.client.upload_fileobj(stream, self.bucket, key, ExtraArgs={"ContentType": content_type})

    def get_bytes(self, key: str) -> bytes:
        """Return the whole object."""
        with translated_errors(key):
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def get_part(self, key: str, offset: int, length: int) -> bytes:
        """Return `length` bytes of the object from `offset` on."""
        with translated_errors(key):
            return self.client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={offset}-{offset + length - 1}")["Body"].read()

    def open_stream(self, key: str) -> IO[bytes]:
        """Return a readable stream of the object; the caller closes it."""
        with translated_errors(key):
            return cast("IO[bytes]", self.client.get_object(Bucket=self.bucket, Key=key)["Body"])

    def download(self, key: str, path: Path) -> None:
        """Write the object to `path`."""
        with translated_errors(key), path.open("wb") as target:
            self.client.download_fileobj(self.bucket, key, target)

    def exists(self, key: str) -> bool:
        """Tell whether the object is there."""
        with translated_errors(key):
            try:
                self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if error_code(error) in MISSING:
                    return False
                raise
        return True

    def delete(self, key: str) -> None:
        """Remove the object; a missing one is no error."""
        with translated_errors(key):
            self.client.delete_object(Bucket=self.bucket, Key=key)


def error_code(error: ClientError) -> str:
    """Return the S3 error code of a botocore error."""
    return str(cast("dict[str, Any]", error.response).get("Error", {}).get("Code", ""))


@contextmanager
def translated_errors(key: str) -> Iterator[None]:
    """Turn botocore's errors into ours."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in MISSING:
            raise NotFound("object_missing", f"No object '{key}' in the store.") from error
        raise Unavailable("object_store", f"The object store refused '{key}': {error_code(error)}.") from error
    except BotoCoreError as error:
        raise Unavailable("object_store", f"The object store does not answer ({type(error).__name__}). Try again in a moment.") from error


@cache
def object_store() -> ObjectStore:
    """Return the store of the settings (path-style addresses, so that any S3 server fits)."""
    client = boto3.client(
        "s3",
        endpoint_url=settings.S3_ENDPOINT_URL or None,
        aws_access_key_id=settings.S3_ACCESS_KEY or None,
        aws_secret_access_key=settings.S3_SECRET_KEY or None,
        region_name=settings.S3_REGION,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=60,
            retries={"max_attempts": 4, "mode": "standard"},
            max_pool_connections=32,
        ),
    )
    return ObjectStore(client, settings.S3_BUCKET)
