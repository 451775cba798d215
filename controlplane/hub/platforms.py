"""Platforms: what a package was made for, what a runtime is, and whether the two fit. Rooms that know the runtimes register themselves."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from packaging.version import InvalidVersion, Version

VERSION_RULE = re.compile(r"^\d{1,6}(\.\d{1,6}){0,2}$", re.ASCII)
# What a package stands for that names no minimum. The engine takes a package made for less than 0.15 for outdated and refuses it.
OLDEST_ENGINE = "0.15.0"
OLDEST_PYTHON = "3.0"
SAME_MACHINES = {"AMD64": "X86_64", "ARM64": "AARCH64"}


@dataclass(frozen=True, slots=True)
class Platform:
    """What a runtime is: `os` such as LINUX, `architecture` such as X86_64, the versions of its Python and of its engine, "" when not known."""

    os: str
    architecture: str
    python: str
    engine: str

    def __str__(self) -> str:
        versions = [f"{what} {version}" for what, version in (("Python", self.python), ("engine", self.engine)) if version]
        return ", ".join([f"{self.os} {self.architecture}", *versions])


# What runtimes are where nothing tells more.
ANY_RUNTIME = Platform(os="LINUX", architecture="X86_64", python="", engine="")
_runtimes: list[Callable[[], Platform | None]] = []


def register_runtime(find: Callable[[], Platform | None]) -> None:
    """Add a function that tells what the runtimes of this installation are, or None when it does not know."""
    if find not in _runtimes:
        _runtimes.append(find)


def runtime() -> Platform:
    """Return what the runtimes are, as far as any room knows."""
    return next((found for find in _runtimes if (found := find()) is not None), ANY_RUNTIME)


class Packaged(Protocol):
    """The platform columns of a package; an empty version is no bound, maxima are exclusive."""

    os: Any
    architecture: Any
    features: Any
    ikomia_min_version: Any
    ikomia_max_version: Any
    python_min_version: Any
    python_max_version: Any


def fits(package: Packaged, platform: Platform) -> bool:
    """Tell whether a runtime can load a package: its system, its machine, and versions from the minimum up to below the maximum."""
    return (
        one_of(platform.os.upper(), package.os)
        and one_of(machine(platform.architecture), [machine(name) for name in package.architecture])
        and within(platform.python, package.python_min_version, package.python_max_version)
        and within(platform.engine, package.ikomia_min_version, package.ikomia_max_version)
    )


def one_of(value: str, allowed: Collection[str]) -> bool:
    """Tell whether a value is among those allowed; none named means all."""
    return not allowed or value in allowed


def machine(architecture: str) -> str:
    """Return one name for machines that have two: AMD64 is X86_64, ARM64 is AARCH64."""
    return SAME_MACHINES.get(architecture.upper(), architecture.upper())


def within(version: str, lowest: str, below: str) -> bool:
    """Tell whether a version is in a half-open range; one that is not known is in all, one that cannot be read in none but the unbounded."""
    if not version or (not lowest and not below):
        return True
    try:
        present = Version(version)
    except InvalidVersion:
        return False
    return (not lowest or present >= Version(lowest)) and (not below or present < Version(below))


def platform_object(package: Packaged) -> dict[str, Any]:
    """Return the platform as the wire has it; the engine reads the ranges (`>=a.b[.c]`, then perhaps `,<d`)."""
    return {
        "os": list(package.os),
        "ikomia": version_range(padded(package.ikomia_min_version or OLDEST_ENGINE, 3), padded(package.ikomia_max_version, 3)),
        "python": version_range(padded(package.python_min_version or OLDEST_PYTHON, 2), padded(package.python_max_version, 2)),
        "architecture": list(package.architecture),
        "features": list(package.features),
    }


def padded(version: str, parts: int) -> str:
    """Return a version with at least so many parts: to the engine 0.15 is less than 0.15.0, and it cannot read a single number."""
    given = version.split(".") if version else []
    return ".".join([*given, *["0"] * (parts - len(given))]) if given else ""


def next_minor(version: str) -> str:
    """Return the exclusive maximum for what supports a version at most, as clients count: 3.11 and 3.11.4 give 3.12.0; "" gives ""."""
    given = [int(part) for part in version.split(".")] if version else []
    return f"{given[0]}.{(given[1] if len(given) > 1 else 0) + 1}.0" if given else ""


def version_range(lowest: str, below: str) -> str:
    """Return `>=lowest`, or `>=lowest,<below`."""
    return f">={lowest},<{below}" if below else f">={lowest}"


def platform_key(package: Packaged) -> str:
    """Return one text for packages of the same platform, whatever the order of their lists: 64 hexadecimal digits."""
    described = platform_object(package)
    canonical = {name: sorted(value) if isinstance(value, list) else value for name, value in described.items()}
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()
