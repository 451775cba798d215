"""What the running service really holds of a project's storage, and plain HTTP calls with a storage token."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from uuid import UUID

import boto3
import psycopg
from botocore.config import Config
from psycopg.sql import SQL, Composed, Identifier

from controlplane.common.ids import uuid7
from tests.contracts.person import Person
from tests.stack import Stack

TABLES = ("storage_storedobject", "storage_upload", "storage_space")
BOUNDARY = "a-boundary-of-a-form"
ROW = (
    "INSERT INTO storage_storedobject (id, created_at, updated_at, project_id, path, key, content_type, sha256, size, is_directory_archive) "
    "VALUES (%s, now(), now(), %s, %s, %s, 'text/plain', %s, 3, false)"
)


def project_id(url: str) -> UUID:
    """Return the id in a project's address."""
    return UUID(url.rstrip("/").rpartition("/")[2])


def storage_token(person: Person, project_url: str, storage: str = "true") -> str:
    """Ask for a token of a project's storage; "read" for one that only reads."""
    return str(person.get(f"{project_url}jwt/", storage=storage)["id_token"])


def ask(method: str, url: str, authorization: str = "", body: bytes | None = None, content_type: str = "") -> tuple[int, Any]:
    """Make a plain request; return status and JSON, or the bytes of what is none."""
    headers = {"Authorization": authorization} if authorization else {}
    if content_type:
        headers["Content-Type"] = content_type
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _content(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _content(error)


def _content(answer: Any) -> Any:
    content = answer.read()
    return json.loads(content) if content and "json" in answer.headers.get("Content-Type", "") else content


def form(**fields: str) -> tuple[bytes, str]:
    """Return a form and its content type."""
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
    return ("".join(parts) + f"--{BOUNDARY}--\r\n").encode(), f"multipart/form-data; boundary={BOUNDARY}"


def traces(stack: Stack, project_url: str) -> dict[str, Any]:
    """Return all that a project's storage holds in database and bucket, to compare before and after."""
    project = project_id(project_url)
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        rows = {table: sorted(map(str, connection.execute(of_project(table), [project]))) for table in TABLES}
    return {**rows, "keys": keys(stack, project)}


def of_project(table: str) -> Composed:
    """Return the query of a table's rows of a project, without the mark that the sweep leaves when it passes by."""
    return SQL("SELECT to_jsonb(it) - 'weighed_at' FROM {} it WHERE project_id = %s").format(Identifier(table))


def keys(stack: Stack, project: UUID) -> list[str]:
    """Return the keys of a project in the bucket."""
    env = stack.env
    client = boto3.client(
        "s3",
        endpoint_url=env["S3_ENDPOINT_URL"],
        aws_access_key_id=env["S3_ACCESS_KEY"],
        aws_secret_access_key=env["S3_SECRET_KEY"],
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=env["S3_BUCKET"], Prefix=f"objects/{project.hex}/")
    return [row["Key"] for page in pages for row in page.get("Contents", [])]


def insert_objects(stack: Stack, project_url: str, paths: list[str]) -> None:
    """Write rows of objects that have no bytes: enough for lists, and quick."""
    project = project_id(project_url)
    rows = [(uuid7(), project, path, f"objects/{project.hex}/{uuid7().hex}", "0" * 64) for path in paths]
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.executemany(ROW, rows)
