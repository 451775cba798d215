"""Where algorithms come from that a workflow names without bringing them. Rooms that know some register themselves."""

from __future__ import annotations

from typing import Protocol

from controlplane.accounts.models import User
from controlplane.projects.models import Project


class Source(Protocol):
    """Tells whether workflows that the actor pushes to a project may name an algorithm without bringing it."""

    def __call__(self, *, project: Project, name: str, actor: User) -> bool:
        """Tell."""


_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Add a source."""
    if source not in _sources:
        _sources.append(source)


def is_known(project: Project, name: str, actor: User) -> bool:
    """Tell whether any source knows the algorithm for a push of the actor."""
    return any(source(project=project, name=name, actor=actor) for source in _sources)
