"""The engine's environment on this machine: read, never run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from django.conf import settings
from packaging.utils import canonicalize_name

from deployments.errors import BuildFailed


@dataclass(frozen=True, slots=True)
class Environment:
    """Its packages (name → version), its engine and the full version of its Python."""

    packages: dict[str, str]
    engine: str
    python: str


def runtime_environment() -> Environment | None:
    """Return the environment of RUNTIME_PYTHON, None if it is not on this machine. Raises BuildFailed (NO_RUNTIME) if it is none that can be read."""
    python = Path(settings.RUNTIME_PYTHON)
    packages = installed_in(python)
    if packages is None or "ikomia" not in packages:
        return None
    return Environment(packages, packages["ikomia"], python_version(python))


def installed_in(python: Path) -> dict[str, str] | None:
    """Return the distributions (name → version) of an interpreter's environment, or None if it is not on this machine."""
    folders = tuple(str(path) for path in sorted(python.parent.parent.glob("lib/python3.*/site-packages")))
    return scan(folders) if folders else None


@lru_cache(maxsize=4)
def scan(folders: tuple[str, ...]) -> dict[str, str]:
    """Return the distributions in these folders; an environment does not change while a worker lives."""
    return {canonicalize_name(found.metadata["Name"]): found.version for found in distributions(path=list(folders))}


@lru_cache(maxsize=4)
def python_version(python: Path) -> str:
    """Return the version of the interpreter of a virtual environment, read from its own description."""
    for line in (python.parent.parent / "pyvenv.cfg").read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:3])
    raise BuildFailed("NO_RUNTIME", f"{python.parent.parent} is no virtual environment.")
