"""What may be read of the HUB: packages for a platform, and what can be published next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from django.db.models import OuterRef, Prefetch, Q, Subquery
from django.db.models.functions import Left

from controlplane.accounts.models import User
from controlplane.hub.models import Algorithm, HubAlgorithm, HubPackage, Package
from controlplane.hub.platforms import Platform, fits
from controlplane.projects.models import Project
from controlplane.workspaces.models import Namespace, Visibility

__all__ = ["FoundPackage", "Platform", "known_algorithm", "package_for"]

LISTED_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class FoundPackage:
    """A package that a workflow's bundle takes for an algorithm that it names.

    `path` is the algorithm's path (private) or its name (public), `version` the tag (`v3`) or the semantic version, `key` where the zip
    lies in the object store: a plugin with its files at the root.
    """

    source: Literal["private", "public"]
    path: str
    version: str
    package_id: UUID
    key: str
    sha256: str


def package_for(*, project: Project, name: str, platform: Platform, reader: User | None) -> FoundPackage | None:
    """Return the newest package of an algorithm that a runtime can load, as a workflow of this project finds it; None without one.

    First the algorithms of the project's own namespaces, the nearest first, then the others of its workspace that are not private. Only when
    there is none of this name, the public HUB: what others publish never stands in for what the workspace has. `reader` is who pushed the
    workflow, None when they are gone.
    """
    own = list(private_algorithms(project, name, reader))
    for algorithm in own:
        for package in algorithm.packages.filter(retired=False).order_by("-number"):
            if fits(package, platform):
                return private_package(algorithm, package)
    for published in () if own else public_packages(name):
        if fits(published, platform):
            return public_package(published)
    return None


def known_algorithm(*, project: Project, name: str, actor: User) -> bool:
    """Tell whether a workflow that the actor pushes to this project may name an algorithm without bringing it, on whatever platform.

    The build finds what the person reads. With a token that reads less, such as one bound to a project, what stands first must be within it.
    """
    found = [algorithm.pk for algorithm in private_algorithms(project, name, User.objects.get(pk=actor.pk))]
    if found:
        return Algorithm.objects.visible_to(actor).filter(pk__in=found).exists()
    return HubAlgorithm.objects.filter(name=name, current__isnull=False).exists()


def private_algorithms(project: Project, name: str, reader: User | None) -> Iterator[Algorithm]:
    """Yield the algorithms of this name that workflows of a project reach, the nearest first.

    Who pushes to a project need not see all that is around it, so only what the reader may read counts; without a reader, what is not private.
    """
    readable = Algorithm.objects.exclude(visibility=Visibility.PRIVATE) if reader is None else Algorithm.objects.visible_to(reader)
    above = [namespace.pk for namespace in reversed(project.namespace.lineage())]
    workspace = {"namespace__owner": project.namespace.owner, "namespace__organization": project.namespace.organization}
    rows = readable.filter(name=name, **workspace).select_related("namespace__parent").order_by("namespace__path")
    found = {algorithm.namespace_id: algorithm for algorithm in rows}
    yield from (found[key] for key in above if key in found)
    for key, algorithm in found.items():
        if key not in above and algorithm.visibility != Visibility.PRIVATE and not hidden(algorithm.namespace, set(above)):
            yield algorithm


def hidden(namespace: Namespace, above: set[UUID]) -> bool:
    """Tell whether a namespace, or one around it that a project is not in, is private."""
    return any(one.visibility == Visibility.PRIVATE and one.pk not in above for one in namespace.lineage())


def public_packages(name: str) -> Iterator[HubPackage]:
    """Yield the published packages of a name, those of the newest version first, there the newest upload."""
    rows = HubPackage.objects.filter(version__hub__name=name).select_related("version__hub")
    yield from rows.order_by("-version__major", "-version__minor", "-version__patch", "-number")


def private_package(algorithm: Algorithm, package: Package) -> FoundPackage:
    """Return a package of a workspace as what was found."""
    return FoundPackage("private", algorithm.path, package.tag, package.pk, package.key, package.sha256)


def public_package(package: HubPackage) -> FoundPackage:
    """Return a published package as what was found."""
    return FoundPackage("public", package.version.hub.name, package.version.version, package.pk, package.key, package.sha256)


def shortened(description: str) -> str:
    """Return what lists show of a description."""
    return description if len(description) <= LISTED_CHARACTERS else f"{description[:LISTED_CHARACTERS]}…"


def with_beginnings(rows: Any, column: str) -> Any:
    """Fetch of descriptions, which stand in `column`, only as much as `shortened` needs, as `beginning`: thousands of whole ones are too much."""
    return rows.defer(column).annotate(beginning=Left(column, LISTED_CHARACTERS + 1))


def with_packages(rows: Any) -> Any:
    """Fetch algorithms together with what their rows show: the newest package of each platform, the newest last, as the engine wants them."""
    newest = Prefetch("packages", Package.objects.filter(retired=False).order_by("number"), to_attr="current_packages")
    return rows.select_related("namespace", "demo", "published").defer("search").prefetch_related(newest)


def with_current(rows: Any) -> Any:
    """Fetch published algorithms together with what their rows show: the newest version, its packages (newest upload first), the publisher.

    `workspace_path` is the path that the workspace has now, None when it is no more: workspaces are renamed, and names taken by others.
    """
    newest = Prefetch("current__packages", HubPackage.objects.order_by("-number"))
    of_workspace = Q(owner=OuterRef("workspace_id")) | Q(organization=OuterRef("workspace_id"))
    root = Namespace.objects.filter(of_workspace, parent=None)
    rows = rows.filter(current__isnull=False).annotate(workspace_path=Subquery(root.values("path")[:1]))
    return rows.select_related("current").defer("current__search").prefetch_related(newest)
