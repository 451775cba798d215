"""Comparing the bucket with the database, both read in the order of their keys, in flat memory.

What differs is looked at once more, alone, before it is told: uploads, deletions and sweeps go on beside the check.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from heapq import merge
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Count, Q, Sum

from controlplane.common.clock import now
from controlplane.common.errors import NotFound
from storage.bucket import Held, bucket
from storage.models import DiscardedKey, Space, StoredObject, Upload, UploadState
from storage.space import add_to_space, locked_space
from storage.uploads import PREFIX, discard

logger = logging.getLogger(__name__)

BATCH = 1000
# Rows are written before bytes and go before them: what is younger may still be on its way.
GRACE = timedelta(hours=1)
PARTS_GRACE = timedelta(hours=24)
TABLES: tuple[type[models.Model], ...] = (StoredObject, Upload, DiscardedKey)
COUNTERS = ("count", "used_bytes", "temporary_count", "temporary_bytes")


class Kind(StrEnum):
    """What can be wrong."""

    NO_ROW = "bytes without a row"
    NO_BYTES = "object without its bytes"
    PARTS = "parts without an upload"
    COUNTERS = "wrong totals"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or was until it was repaired."""

    kind: Kind
    what: str
    repaired: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}" + (" - repaired" if self.repaired else "")


@dataclass(frozen=True, slots=True)
class Repairs:
    """What a check may change. Rows of users' objects go only with `forget_missing`: their bytes may still be in a backup."""

    repair: bool = False
    forget_missing: bool = False


@dataclass(slots=True)
class Totals:
    """What a check has seen: objects, their bytes, and findings."""

    objects: int = 0
    size: int = 0
    found: int = 0
    unrepaired: int = 0

    def count(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Pass findings on and count them."""
        for finding in findings:
            self.found += 1
            self.unrepaired += not finding.repaired
            yield finding


def check_storage(totals: Totals, *, project_id: UUID | None = None, repairs: Repairs = Repairs()) -> Iterator[Finding]:
    """Yield what is wrong, all of it or of one project, and repair what `repairs` allows. Raises `Unavailable`."""
    prefix = PREFIX if project_id is None else f"{PREFIX}{project_id.hex}/"
    yield from totals.count(check_keys(prefix, totals, repairs))
    yield from totals.count(check_parts(prefix, repairs))
    yield from totals.count(check_counters(project_id, repairs))


def log_check() -> Totals:
    """Check everything and log what is wrong, without changing anything."""
    totals = Totals()
    for finding in check_storage(totals):
        logger.error("storage check: %s", finding)
    logger.info("storage check: %d objects, %d bytes, %d findings", totals.objects, totals.size, totals.found)
    return totals


def check_keys(prefix: str, totals: Totals, repairs: Repairs) -> Iterator[Finding]:
    """Walk along bucket and tables side by side."""
    oldest = now() - GRACE
    for key, held, stored, is_known in side_by_side(prefix):
        if stored is not None:
            totals.objects += 1
            totals.size += stored.size
            if held is None or held.size != stored.size:
                yield from check_object(stored, repairs)
        elif held is not None and not is_known:
            yield from check_stray(key, held, oldest, repairs)


def side_by_side(prefix: str) -> Iterator[tuple[str, Held | None, StoredObject | None, bool]]:
    """Yield each key below a prefix once, with what the bucket and the table of objects have there, and whether any table knows it."""
    sources: list[Iterator[tuple[str, int, Any]]] = [
        ((held.key, 0, held) for held in bucket().walk(prefix)),
        *(((row.key, 1, row) for row in in_order(model._default_manager.all(), prefix)) for model in TABLES),
    ]
    at, held, stored, is_known = "", None, None, False
    for key, _, item in merge(*sources, key=lambda entry: entry[:2]):
        if key != at and at:
            yield at, held, stored, is_known
            held, stored, is_known = None, None, False
        at = key
        if isinstance(item, Held):
            held = item
        else:
            is_known = True
            stored = item if isinstance(item, StoredObject) else stored
    if at:
        yield at, held, stored, is_known


def in_order(table: models.QuerySet[Any], prefix: str) -> Iterator[Any]:
    """Yield rows below a prefix by their keys (collation C), some at a time."""
    at, below = prefix, table.filter(key__startswith=prefix).order_by("key")
    while rows := list(below.filter(key__gt=at)[:BATCH]):
        yield from rows
        at = rows[-1].key


def check_stray(key: str, held: Held, oldest: datetime, repairs: Repairs) -> Iterator[Finding]:
    """Tell bytes that no row refers to; the repair removes them."""
    if held.changed_at is None or held.changed_at > oldest or is_referred_to(key):
        return
    repaired = repairs.repair and not bucket().delete([key])
    yield Finding(Kind.NO_ROW, f"{key}, {held.size} bytes of {held.changed_at:%Y-%m-%d %H:%M}", repaired)


def is_referred_to(key: str) -> bool:
    """Tell whether a row has this key now."""
    return any(model._default_manager.filter(key=key).exists() for model in TABLES)


def check_object(stored: StoredObject, repairs: Repairs) -> Iterator[Finding]:
    """Tell an object whose bytes are not there or not all; only who forgets missing ones lets the row go."""
    try:
        size = bucket().look(stored.key).size
    except NotFound:
        size = None
    row = StoredObject.objects.select_related("project").filter(pk=stored.pk, key=stored.key).first()
    if row is None or size == row.size:
        return
    there = "nothing" if size is None else f"{size} bytes"
    repaired = repairs.repair and repairs.forget_missing and forget_object(row)
    yield Finding(
        Kind.NO_BYTES, f"{row.project.path}: '{row.path or 'temporary'}', uid {row.pk}, {row.size} bytes, the store has {there}", repaired
    )


def forget_object(stored: StoredObject) -> bool:
    """Delete the row of an object whose bytes are lost; False when it was overwritten or deleted meanwhile."""
    with transaction.atomic():
        locked_space(stored.project_id)
        gone, _ = StoredObject.objects.filter(pk=stored.pk, key=stored.key).delete()
        if gone:
            discard([stored.key])
            add_to_space(stored.project_id, count=-1, size=-stored.size, temporary=stored.path is None)
    return bool(gone)


def check_parts(prefix: str, repairs: Repairs) -> Iterator[Finding]:
    """Tell parts that were begun a day ago and that no upload will join; the repair drops them."""
    oldest = now() - PARTS_GRACE
    for key, store_id, begun_at in bucket().unjoined(prefix):
        open_upload = Upload.objects.filter(key=key, state=UploadState.OPEN).filter(Q(store_id=store_id) | Q(store_id=""))
        if begun_at > oldest or open_upload.exists() or DiscardedKey.objects.filter(key=key).exists():
            continue
        if repairs.repair:
            bucket().drop_parts(key, store_id)
        yield Finding(Kind.PARTS, f"{key}, begun {begun_at:%Y-%m-%d %H:%M}", repairs.repair)


def check_counters(project_id: UUID | None, repairs: Repairs) -> Iterator[Finding]:
    """Tell projects whose totals are not those of their objects; the repair counts again."""
    spaces = Space.objects.order_by("project_id")
    if project_id is not None:
        spaces = spaces.filter(pk=project_id)
    for pk in spaces.values_list("pk", flat=True).iterator(chunk_size=BATCH):
        if differs(Space.objects.get(pk=pk)):
            yield from check_space(pk, repairs)


def check_space(project_id: UUID, repairs: Repairs) -> Iterator[Finding]:
    """Count a project's objects under its lock, and write it down if that is allowed."""
    with transaction.atomic():
        space = locked_space(project_id)
        counted, told = counted_objects(project_id), told_objects(space)
        if counted == told:
            return
        if repairs.repair:
            Space.objects.filter(pk=project_id).update(**counted)
        path = space.project.path
    wrong = ", ".join(f"{name} {told[name]} instead of {counted[name]}" for name in COUNTERS if told[name] != counted[name])
    yield Finding(Kind.COUNTERS, f"{path}: {wrong}", repairs.repair)


def differs(space: Space) -> bool:
    """Tell whether a project's totals look wrong; without the lock they may, while something is stored."""
    return counted_objects(space.pk) != told_objects(space)


def told_objects(space: Space) -> dict[str, int]:
    """Return a project's totals as they are written down."""
    return {name: getattr(space, name) for name in COUNTERS}


def counted_objects(project_id: UUID) -> dict[str, int]:
    """Return a project's totals as its objects make them."""
    temporary = Q(path=None)
    found = StoredObject.objects.filter(project_id=project_id).aggregate(
        count=Count("pk"),
        used_bytes=Sum("size", default=0),
        temporary_count=Count("pk", filter=temporary),
        temporary_bytes=Sum("size", filter=temporary, default=0),
    )
    return {name: int(found[name]) for name in COUNTERS}
