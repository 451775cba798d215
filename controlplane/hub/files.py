"""Objects of the HUB in the store: put there before the transaction that names them, removed when nothing names them any more."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from controlplane.common.errors import SlipwayError
from controlplane.common.objectstore import object_store
from controlplane.hub.models import HubPackage, HubVersion

logger = logging.getLogger(__name__)


@contextmanager
def stored(key: str, stream: BinaryIO, *, content_type: str) -> Iterator[None]:
    """Keep an object only if the block, which writes the rows that name it, succeeds."""
    stream.seek(0)
    object_store().put_file(key, stream, content_type=content_type)
    try:
        yield
    except BaseException:
        discard([key])
        raise


def discard(keys: Iterable[str]) -> None:
    """Remove objects unless a published version needs them. One that cannot be removed now only takes room, so it is logged."""
    for key in keys:
        if not key or is_published(key):
            continue
        try:
            object_store().delete(key)
        except SlipwayError as error:
            logger.warning("the object %s stays in the store: %s", key, error.detail)


def is_published(key: str) -> bool:
    """Tell whether a published version has this object. Ask while the algorithm is locked, or after it is deleted: nothing publishes it then."""
    return (
        HubPackage.objects.filter(key=key).exists()
        or HubVersion.objects.filter(icon_key=key).exists()
        or HubVersion.objects.filter(demo_key=key).exists()
    )
