"""Fixtures of the HUB."""

from __future__ import annotations

import pytest

from controlplane.common.objectstore import object_store


@pytest.fixture(autouse=True)
def bucket():
    object_store().ensure_bucket()


@pytest.fixture
def objects():
    """Return the keys in the object store below a prefix that were not there when the test began."""
    before = set(keys())
    return lambda: sorted(set(keys()) - before)


def keys():
    """Yield the keys of packages, demo workflows and icons."""
    pages = object_store().client.get_paginator("list_objects_v2")
    for prefix in ("packages/", "demos/", "icons/"):
        for page in pages.paginate(Bucket=object_store().bucket, Prefix=prefix):
            yield from (row["Key"] for row in page.get("Contents", []))
