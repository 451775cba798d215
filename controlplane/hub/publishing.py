"""Publishing to the public HUB: immutable versions under names that belong to workspaces, and certification by operators."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from controlplane.accounts.models import User
from controlplane.common.errors import Conflict, PermissionDenied
from controlplane.common.lookup import visible_or_404
from controlplane.hub.models import DESCRIBED, PLATFORM, Algorithm, DemoWorkflow, HubAlgorithm, HubPackage, HubVersion, Package
from controlplane.hub.services import lock_algorithm, visible_algorithm
from controlplane.hub.versions import HubVersionNumber, next_versions, parse_version
from controlplane.workspaces.permissions import Permission, require
from controlplane.workspaces.trail import note

COPIED = ("name", *DESCRIBED, "icon_key", "icon_type")
PACKAGED = ("number", "key", "sha256", "size", "platform_key", *PLATFORM)


def publish_information(*, actor: User, algorithm_id: UUID) -> dict[str, Any]:
    """Return the licence of the newest published version, None before the first, and the versions that can be next."""
    algorithm = visible_algorithm(actor, algorithm_id)
    newest = newest_version(HubAlgorithm.objects.filter(algorithm=algorithm).select_related("current").first())
    offered = next_versions(number_of(newest))
    return {"license": newest.license if newest else None, "next_versions": {part: str(number) for part, number in offered.items()}}


def publish_algorithm(*, actor: User, algorithm_id: UUID, license: str, version: str) -> HubAlgorithm:  # noqa: A002 - the field's name
    """Publish the algorithm as it is now, with its newest package of each platform, for everyone and for good.

    Publishing a version again with the same content changes nothing. Raises `PermissionDenied` (role, or a workspace that operators have not
    allowed to publish), `InvalidInput` (version) and `Conflict` (name of another workspace, no packages, other content, a version that
    cannot be next).
    """
    algorithm = visible_algorithm(actor, algorithm_id)
    require(actor, Permission.ALGORITHM_PUBLISH, algorithm)
    number = parse_version(version)
    try:
        with transaction.atomic():
            locked = lock_algorithm(algorithm.pk)
            refuse_unallowed(locked)
            hub = claim_name(locked)
            published = add_version(hub, locked, number, license, actor)
            if published is not None:
                details = {"version": published.version, "license": license, "digest": published.digest}
                note(actor, "algorithm.publish", locked, workspace=locked.workspace_id, **details)
    except IntegrityError as error:
        raise name_taken(algorithm.name) from error
    return hub


def refuse_unallowed(algorithm: Algorithm) -> None:
    """Raise `PermissionDenied` unless operators let the workspace publish."""
    root = algorithm.namespace.lineage()[0]
    if not root.may_publish:
        raise PermissionDenied(
            "publishing_not_allowed",
            f"'{root.path}' may not publish to the public HUB yet. Ask an operator of this installation to allow it (allow_publishing).",
        )


def claim_name(algorithm: Algorithm) -> HubAlgorithm:
    """Return the HUB's entry of the algorithm, locked: its own, a new one, or one that its workspace left behind under this name."""
    entries = HubAlgorithm.objects.select_for_update(no_key=True, of=("self",)).select_related("current")
    own: HubAlgorithm | None = entries.filter(algorithm=algorithm).first()
    if own is not None:
        return own
    left: HubAlgorithm | None = entries.filter(name__iexact=algorithm.name).first()
    if left is None:
        publisher = publisher_of(algorithm)
        return HubAlgorithm.objects.create(
            name=algorithm.name, workspace_id=algorithm.workspace_id, publisher=publisher, algorithm=algorithm
        )
    if left.algorithm_id is not None or left.workspace_id != algorithm.workspace_id or left.name != algorithm.name:
        raise name_taken(algorithm.name)
    left.algorithm = algorithm
    left.save(update_fields=["algorithm", "updated_at"])
    return left


def publisher_of(algorithm: Algorithm) -> str:
    """Return who is told to have published: the workspace; which namespaces it has inside is its own affair."""
    return algorithm.namespace.lineage()[0].path


def add_version(hub: HubAlgorithm, algorithm: Algorithm, number: HubVersionNumber, licence: str, actor: User) -> HubVersion | None:
    """Write a version with copies of its packages; None when it is there already with the same content."""
    packages = list(algorithm.packages.filter(retired=False).order_by("number"))
    if not packages:
        raise Conflict("no_packages", f"'{algorithm.path}' has no packages. Upload one for each platform first.")
    demo = DemoWorkflow.objects.filter(algorithm=algorithm).first()
    digest = content_digest(algorithm, packages, demo, licence)
    before = hub.versions.filter(**number._asdict()).first()
    if before is not None:
        refuse_other_content(before, digest)
        return None
    refuse_gap(hub, number)
    version = HubVersion.objects.create(
        hub=hub,
        **number._asdict(),
        license=licence,
        published_by=actor.username,
        digest=digest,
        demo_name=demo.name if demo else "",
        demo_key=demo.archive_key if demo else "",
        demo_sha256=demo.archive_sha256 if demo else "",
        **{field: getattr(algorithm, field) for field in COPIED},
    )
    HubPackage.objects.bulk_create(
        HubPackage(version=version, **{field: getattr(package, field) for field in PACKAGED}) for package in packages
    )
    hub.current, hub.publisher = version, publisher_of(algorithm)
    hub.save(update_fields=["current", "publisher", "updated_at"])
    return version


def content_digest(algorithm: Algorithm, packages: list[Package], demo: DemoWorkflow | None, licence: str) -> str:
    """Return the SHA-256 of all that a version is made of; objects never change under their key, so an icon's key stands for it."""
    content = {
        "license": licence,
        "algorithm": {field: getattr(algorithm, field) for field in COPIED},
        "packages": sorted([package.platform_key, package.sha256] for package in packages),
        "demo": demo.archive_sha256 if demo else None,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def refuse_other_content(before: HubVersion, digest: str) -> None:
    """Raise `Conflict` when a published version would change."""
    if before.digest != digest:
        after = next_versions(number_of(newest_version(before.hub)))
        raise Conflict(
            "version_immutable",
            f"{before.version} of '{before.name}' is published and never changes. Publish the new content as {after['patch']}.",
            fields={"version": ["already published with other content"]},
        )


def refuse_gap(hub: HubAlgorithm, number: HubVersionNumber) -> None:
    """Raise `Conflict` for a version that does not follow the newest one; the first may be any."""
    newest = number_of(newest_version(hub))
    offered = next_versions(newest).values()
    if newest is not None and number not in offered:
        raise Conflict(
            "version_order",
            f"The newest version is {newest}. The next one is {', '.join(map(str, sorted(offered)))}.",
            fields={"version": [str(offer) for offer in sorted(offered)]},
        )


def newest_version(hub: HubAlgorithm | None) -> HubVersion | None:
    """Return the newest version of an entry."""
    return hub.current if hub is not None else None


def number_of(version: HubVersion | None) -> HubVersionNumber | None:
    """Return the number of a version."""
    return HubVersionNumber(version.major, version.minor, version.patch) if version is not None else None


def name_taken(name: str) -> Conflict:
    """Return the refusal for a name that another algorithm has in the public HUB."""
    return Conflict(
        "hub_name_taken",
        f"The public HUB already has an algorithm '{name}', and it is not this one. Add yours under another name and publish that.",
        fields={"name": ["taken"]},
    )


def certify(*, name: str, certified: bool) -> HubAlgorithm:
    """Mark a published algorithm as checked by the operators, or no more. Raises `NotFound`."""
    with transaction.atomic():
        hub: HubAlgorithm = visible_or_404(HubAlgorithm.objects.select_for_update(no_key=True), name__iexact=name)
        hub.certified = certified
        hub.save(update_fields=["certified", "updated_at"])
        note(None, "hub.certify", hub, workspace=hub.workspace_id, certified=certified)
    return hub
