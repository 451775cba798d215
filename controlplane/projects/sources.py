"""Where algorithms come from that a workflow names without bringing them. Rooms that know some register themselves."""

from __future__ import annotations

from typing import Protocol

from controlplane.projects.models import Project


class Source(Protocol):
    """Tells whether workflows of a project may name an algorithm without bringing it."""

    def __call__(self, *, project: Project, name: str) -> bool:
        """Tell."""


_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Add a source."""
    if source not in _sources:
        _sources.append(source)


def is_known(project: Project, name: str) -> bool:
    """Tell whether any source knows the algorithm."""
    return any(source(project=project, name=name) for source in _sources)
