"""What can be done with the algorithms of a workspace."""

from __future__ import annotations

import io
import re
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from controlplane.accounts.models import User
from controlplane.accounts.scopes import Scope
from controlplane.common.credentials import check_scope
from controlplane.common.errors import Conflict, InvalidInput
from controlplane.common.ids import uuid7
from controlplane.common.lookup import visible_or_404
from controlplane.hub.files import discard, stored
from controlplane.hub.icons import check_icon
from controlplane.hub.models import Algorithm, Package, PackageUse
from controlplane.hub.selectors import shortened
from controlplane.hub.signals import algorithm_creating
from controlplane.projects.archive.algorithms import built_in_algorithms
from controlplane.projects.models import Workflow
from controlplane.workspaces.models import Visibility
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.services import default_visibility, forget_target, locked_namespace, visible_namespace
from controlplane.workspaces.trail import note

# What a token needs to say who sees an algorithm, beside what it needs to upload and change one.
SHOWING = Scope.ADMIN
NAME_RULE = re.compile(r"^[A-Za-z_][A-Za-z0-9_-]{0,99}$", re.ASCII)


def create_algorithm(
    *, actor: User, namespace_id: UUID, name: str, visibility: str | None = None, icon: bytes | None = None, **fields: Any
) -> Algorithm:
    """Create an algorithm in a namespace; without a visibility it is the team's in an organization, else private.

    `fields` are those of the model, checked for their form. Raises `NotFound`, `PermissionDenied`, `InvalidInput` (name, icon) and
    `Conflict` (taken, or as many as the plan allows).
    """
    namespace = visible_namespace(actor, namespace_id)
    require(actor, Permission.ALGORITHM_CREATE, namespace)
    check_algorithm_name(name)
    visibility = visibility or default_visibility(namespace)
    if visibility == Visibility.PUBLIC:
        check_scope(actor.credential, SHOWING)
    algorithm = Algorithm(namespace=namespace, name=name, visibility=visibility, **fields)
    try:
        if icon is None:
            return insert_algorithm(actor, algorithm)
        algorithm.icon_type, algorithm.icon_key = check_icon(icon), new_icon_key()
        with stored(algorithm.icon_key, io.BytesIO(icon), content_type=algorithm.icon_type):
            return insert_algorithm(actor, algorithm)
    except IntegrityError as error:
        raise Conflict(
            "name_taken",
            f"'{namespace.path}' already has an algorithm '{name}'. Update it, or choose another name.",
            fields={"name": ["taken"]},
        ) from error


def insert_algorithm(actor: User, algorithm: Algorithm) -> Algorithm:
    """Write a new algorithm and its line of the audit log. Raises `NotFound` when its namespace was just deleted."""
    with transaction.atomic():
        algorithm.namespace = locked_namespace(algorithm.namespace_id)
        require(actor, Permission.ALGORITHM_CREATE, algorithm.namespace)
        algorithm_creating.send(sender=Algorithm, namespace=algorithm.namespace)
        algorithm.save(force_insert=True)
        note(actor, "algorithm.create", algorithm, workspace=algorithm.workspace_id, visibility=algorithm.visibility)
    return algorithm


def update_algorithm(*, actor: User, algorithm_id: UUID, icon: bytes | None = None, **changes: Any) -> Algorithm:
    """Change what is told of an algorithm, who sees it, or its icon. Its name stays: it is the name of the plugin."""
    algorithm = visible_algorithm(actor, algorithm_id)
    require(actor, Permission.ALGORITHM_EDIT, algorithm)
    refuse_other_name(algorithm, changes.pop("name", algorithm.name))
    if icon is None:
        return write_changes(actor, algorithm.pk, changes)[0]
    changes |= {"icon_type": check_icon(icon), "icon_key": new_icon_key()}
    with stored(changes["icon_key"], io.BytesIO(icon), content_type=changes["icon_type"]):
        changed, former_icon = write_changes(actor, algorithm.pk, changes)
    discard([former_icon])
    return changed


def write_changes(actor: User, algorithm_id: UUID, changes: dict[str, Any]) -> tuple[Algorithm, str]:
    """Write changed fields under the algorithm's lock, and return the key of the icon before, too.

    The audit log gets the names of the fields; the values only of what is short and tells who sees it. What changes nothing leaves no line.
    """
    with transaction.atomic():
        algorithm = lock_algorithm(algorithm_id)
        former_icon = algorithm.icon_key
        if changes.get("description") == shortened(algorithm.description):
            # A row of a list came back.
            changes = {**changes, "description": algorithm.description}
        changed = sorted(field for field, value in changes.items() if getattr(algorithm, field) != value)
        if not changed:
            return algorithm, ""
        values: dict[str, Any] = {"visibility": [algorithm.visibility, changes["visibility"]]} if "visibility" in changed else {}
        if values:
            check_scope(actor.credential, SHOWING)
        for field in changed:
            setattr(algorithm, field, changes[field])
        algorithm.save(update_fields=[*changed, "updated_at"])
        note(actor, "algorithm.edit", algorithm, workspace=algorithm.workspace_id, changed=changed, **values)
    return algorithm, former_icon


def delete_algorithm(*, actor: User, algorithm_id: UUID) -> None:
    """Delete an algorithm with its packages and its demo workflow; what was published stays.

    Raises `Conflict` naming the workflows that were built with one of its packages, which they need to be built again.
    """
    algorithm = visible_algorithm(actor, algorithm_id)
    require(actor, Permission.ALGORITHM_DELETE, algorithm)
    try:
        with transaction.atomic():
            icon_key = lock_algorithm(algorithm.pk).icon_key
            packages = list(Package.objects.select_for_update().filter(algorithm=algorithm))
            demo_key = Algorithm.objects.filter(pk=algorithm.pk).values_list("demo__archive_key", flat=True).get()
            Algorithm.objects.get(pk=algorithm.pk).delete()
            forget_target(algorithm.pk)
            note(actor, "algorithm.delete", algorithm, workspace=algorithm.workspace_id)
    except ProtectedError as error:
        raise still_used(actor, algorithm) from error
    discard([*(package.key for package in packages), icon_key, demo_key or ""])


def still_used(actor: User, algorithm: Algorithm) -> Conflict:
    """Return the refusal to delete packages that workflows were built with; workflows that the actor does not see are only counted."""
    users = PackageUse.objects.filter(package__algorithm=algorithm).values("version__workflow")
    used = Workflow.objects.filter(pk__in=users)
    seen = used.visible_to(actor).select_related("project__namespace").order_by("project__namespace__path", "project__name", "name")
    names = [workflow.path for workflow in seen[:100]]
    hidden = used.count() - len(names)
    told = [*names[:10], *([f"{hidden + len(names[10:])} more"] if hidden + len(names[10:]) else [])]
    return Conflict(
        "algorithm_in_use",
        f"'{algorithm.path}' is part of what these workflows were built from: {', '.join(told)}. Delete them first, or make it private.",
        fields={"workflows": names},
    )


def visible_algorithm(actor: User, algorithm_id: UUID) -> Algorithm:
    """Return an algorithm that the actor sees. Raises `NotFound`."""
    rows: Any = Algorithm.objects.visible_to(actor).select_related("namespace__parent", "namespace__organization")
    found: Algorithm = visible_or_404(rows, pk=algorithm_id)
    return found


def lock_algorithm(algorithm_id: UUID) -> Algorithm:
    """Return an algorithm as it is now, and let one change of it happen at a time. Raises `NotFound` when it was just deleted."""
    rows: Any = Algorithm.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "namespace__parent", "namespace__organization"
    )
    found: Algorithm = visible_or_404(rows, pk=algorithm_id)
    return found


def check_algorithm_name(name: str) -> None:
    """Refuse names that the engine cannot load a plugin by, and those of its own algorithms."""
    if not NAME_RULE.fullmatch(name):
        raise InvalidInput(
            "name",
            "An algorithm has the name of its plugin: 1 to 100 letters, digits, '_' or '-', beginning with a letter or '_'.",
            fields={"name": ["not a valid name"]},
        )
    if name in built_in_algorithms():
        raise InvalidInput(
            "name",
            f"'{name}' is an algorithm of the engine itself, which would run instead. Rename the plugin.",
            fields={"name": ["an algorithm of the engine"]},
        )


def refuse_other_name(algorithm: Algorithm, name: str) -> None:
    """Raise `Conflict` for a rename."""
    if name != algorithm.name:
        raise Conflict(
            "name_fixed",
            f"'{algorithm.name}' is the name of the plugin and cannot change. Add the algorithm under its new name, then delete this one.",
            fields={"name": ["cannot change"]},
        )


def new_icon_key() -> str:
    """Return where a new icon goes in the object store."""
    return f"icons/{uuid7()}"
