"""Something written into each of the three servers, and read back."""

from typing import TYPE_CHECKING

import boto3
import psycopg
import redis

from tests.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEPT = (("a row",), b"a key", b"an object")


def write_everywhere(stack: Stack) -> None:
    """A row, a key and an object."""
    with psycopg.connect(stack.env["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE kept AS SELECT 'a row' AS value")
    with redis.from_url(stack.env["REDIS_URL"]) as valkey:
        valkey.set("kept", "a key")
    objects(stack).put_object(Bucket=stack.env["S3_BUCKET"], Key="kept", Body=b"an object")


def read_everywhere(stack: Stack) -> tuple[object, object, object]:
    """What `write_everywhere` has written: KEPT."""
    with psycopg.connect(stack.env["DATABASE_URL"]) as database:
        row = database.execute("SELECT value FROM kept").fetchone()
    with redis.from_url(stack.env["REDIS_URL"]) as valkey:
        key = valkey.get("kept")
    return row, key, objects(stack).get_object(Bucket=stack.env["S3_BUCKET"], Key="kept")["Body"].read()


def objects(stack: Stack) -> "S3Client":
    """A client of the stack's object store."""
    return boto3.client(
        "s3",
        endpoint_url=stack.env["S3_ENDPOINT_URL"],
        aws_access_key_id=stack.env["S3_ACCESS_KEY"],
        aws_secret_access_key=stack.env["S3_SECRET_KEY"],
        region_name="us-east-1",
    )
