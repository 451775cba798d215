"""How much a project stores and may store. All changes happen under the lock of its space."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import F, Max, Sum

from billing.allowances import Allowance, Quota, allowance_of
from billing.models import Plan, Wallet
from billing.quotas import in_workspace
from billing.wallets import wallet_of
from controlplane.projects.models import Project
from storage.errors import no_object, storage_full, too_many_objects
from storage.models import Space, StoredObject, Upload, UploadState

RESERVING = (UploadState.OPEN, UploadState.VERIFYING)


@dataclass(frozen=True, slots=True)
class SpaceUse:
    """What is stored, in objects and bytes; temporary ones are part of the totals. `reserved_bytes` are those of uploads under way."""

    count: int
    used_bytes: int
    temporary_count: int
    temporary_bytes: int
    quota_bytes: int
    reserved_bytes: int


def locked_space(project_id: UUID) -> Space:
    """Return a project's space, which nobody else changes until the transaction ends. Raises `NotFound` when the project is gone."""
    rows = Space.objects.select_for_update(no_key=True)
    if (space := rows.filter(pk=project_id).first()) is not None:
        return space
    if not Project.objects.select_for_update(no_key=True).filter(pk=project_id).exists():
        raise no_object("any more: it was deleted")
    Space.objects.get_or_create(project_id=project_id)
    return rows.get(pk=project_id)


def quota_of(space: Space) -> int:
    """Return the bytes that a project may store: what an operator gave it, else what the plan of its workspace gives each project."""
    return space.quota_bytes if space.quota_bytes is not None else allowance_of_project(space.pk).storage_bytes


def allowance_of_project(project_id: UUID) -> Allowance:
    """Return what the plan of a project's workspace allows. Raises `NotFound` when the project is gone."""
    project = Project.objects.select_related("namespace").filter(pk=project_id).first()
    if project is None:
        raise no_object("any more: it was deleted")
    return allowance_of(wallet_of(project.namespace))


def larger_plan(space: Space) -> Plan | None:
    """Return the plan to choose for more room, None where no plan has it or the room is not the plan's."""
    if space.quota_bytes is not None:
        return None
    return allowance_of_project(space.pk).lifted_by(Quota.STORAGE)


def fullest_project(wallet: Wallet) -> int:
    """Return the bytes of the fullest project of a workspace, of those that have no quota of their own."""
    rows = Space.objects.filter(quota_bytes=None, **in_workspace(wallet, at="project__"))
    return int(rows.aggregate(most=Max("used_bytes"))["most"] or 0)


def reserved_bytes(project_id: UUID, *, without: UUID | None = None) -> int:
    """Return the bytes that uploads under way will bring, one of them left out."""
    rows = Upload.objects.filter(project_id=project_id, state__in=RESERVING)
    if without is not None:
        rows = rows.exclude(pk=without)
    return int(rows.aggregate(total=Sum("size"))["total"] or 0)


def check_room(space: Space, *, size: int, replaced: StoredObject | None, upload_id: UUID | None = None) -> None:
    """Raise `TooLarge` unless `size` bytes fit, those of a replaced object given back. Call it under the lock."""
    quota = quota_of(space)
    given_back = replaced.size if replaced else 0
    free = quota - space.used_bytes - reserved_bytes(space.pk, without=upload_id) + given_back
    if size > free:
        raise storage_full(needed=size, free=free, quota=quota, lifted_by=larger_plan(space))
    if replaced is None and space.count >= settings.STORAGE_MAX_OBJECTS:
        raise too_many_objects(settings.STORAGE_MAX_OBJECTS)


def add_to_space(project_id: UUID, *, count: int, size: int, temporary: bool) -> None:
    """Count objects in, or out with negative numbers. Call it under the lock."""
    changes = {"count": F("count") + count, "used_bytes": F("used_bytes") + size}
    if temporary:
        changes |= {"temporary_count": F("temporary_count") + count, "temporary_bytes": F("temporary_bytes") + size}
    Space.objects.filter(pk=project_id).update(**changes)


def space_use(project_id: UUID) -> SpaceUse:
    """Return what a project stores now."""
    space = Space.objects.filter(pk=project_id).first()
    held = space or Space(project_id=project_id)
    return SpaceUse(
        count=held.count,
        used_bytes=held.used_bytes,
        temporary_count=held.temporary_count,
        temporary_bytes=held.temporary_bytes,
        quota_bytes=quota_of(held),
        reserved_bytes=reserved_bytes(project_id),
    )
