"""A project with somebody who stores things in it."""

from __future__ import annotations

import sys

import pytest

from controlplane.accounts.models import User
from controlplane.common.objectstore import object_store
from controlplane.projects.models import Project
from storage.access import StorageAccess
from storage.bucket import bucket
from tests.factories import make_project
from tests.storage.builders import Clock, StorageCaller, access_to


@pytest.fixture(autouse=True)
def empty_bucket() -> None:
    """Start without objects and parts of other tests: the database forgets them at the end of each test, the bucket does not."""
    store = object_store()
    store.ensure_bucket()
    listed = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix="objects/")
    for page in listed:
        for row in page.get("Contents", []):
            store.client.delete_object(Bucket=store.bucket, Key=row["Key"])
    for key, store_id, _ in list(bucket().unjoined("objects/")):
        bucket().drop_parts(key, store_id)


@pytest.fixture
def project(user: User) -> Project:
    """A project of the user."""
    return make_project(user)


@pytest.fixture
def access(project: Project) -> StorageAccess:
    """Reading and writing in the project."""
    return access_to(project)


@pytest.fixture
def caller(user: User, project: Project) -> StorageCaller:
    """The user with a token for the project's storage."""
    return StorageCaller(user, project.pk)


@pytest.fixture
def reader(user: User, project: Project) -> StorageCaller:
    """The user with a token that only reads."""
    return StorageCaller(user, project.pk, storage="read")


@pytest.fixture
def neighbour(stranger: User) -> StorageCaller:
    """Somebody else with a token for a storage of their own."""
    return StorageCaller(stranger, make_project(stranger, "dock").pk)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The storage's clock, which tests can put forward; object stores have their own."""
    moved = Clock()
    for name, module in list(sys.modules.items()):
        if name.startswith("storage.") and hasattr(module, "now"):
            monkeypatch.setattr(module, "now", moved.now)
    return moved
