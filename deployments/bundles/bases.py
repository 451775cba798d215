"""Runtime bases: which engine and Python a workflow asks for, and which of those that are here it gets."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from deployments.errors import BuildFailed

TABLE = Path(__file__).with_name("bases.toml")


@dataclass(frozen=True, slots=True)
class Base:
    """A row of bases.toml."""

    name: str
    engine: Version
    python: Version
    runs: SpecifierSet
    platform: str
    image: str

    def __str__(self) -> str:
        return f"engine {self.engine} with Python {self.python}"

    def is_in(self, *, engine: str, python: str) -> bool:
        """Tell whether an environment with this engine and this full version of Python is this base."""
        return self.engine == Version(engine) and self.python.release[:2] == Version(python).release[:2]

    def markers(self, python: str = "") -> dict[str, str]:
        """Return what markers of requirements are compared with; `python` is the full version where it is known."""
        version = f"{self.python.major}.{self.python.minor}"
        full = python or f"{version}.0"
        return {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": self.platform.split("-", 1)[0],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": version,
            "sys_platform": "linux",
            "extra": "",
        }


@dataclass(frozen=True, slots=True)
class Asked:
    """What the `api` block of a workflow asks for; None where it says nothing that can be read."""

    engine: Version | None
    python: Version | None

    def __str__(self) -> str:
        engine = f"engine {self.engine}" if self.engine else "any engine"
        return f"{engine} with Python {self.python}" if self.python else engine


@cache
def read_bases(path: Path = TABLE) -> tuple[Base, ...]:
    """Return the table's rows."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["base"]
    return tuple(
        Base(
            name=row["name"],
            engine=Version(row["engine"]),
            python=Version(row["python"]),
            runs=SpecifierSet(row["runs"]),
            platform=row["platform"],
            image=row["image"],
        )
        for row in rows
    )


def bases_here(environment: Mapping[str, str] | None) -> tuple[Base, ...]:
    """Return the bases that bundles can be built for: that of the environment (its `engine` and `python`), all where there is none to look at.

    Raises BuildFailed (NO_RUNTIME) for an environment that is not in the table.
    """
    bases = read_bases()
    if environment is None:
        return bases
    found = tuple(base for base in bases if base.is_in(**environment))
    if not found:
        raise BuildFailed(
            "NO_RUNTIME",
            f"The engine's environment has engine {environment['engine']} with Python {environment['python']}, which is none of the runtime bases "
            f"({', '.join(map(str, bases))}).",
        )
    return found


def asked_by(document: Mapping[str, Any]) -> Asked:
    """Return what a workflow.json asks for."""
    block = document.get("api")
    block = block if isinstance(block, dict) else {}
    return Asked(engine=readable(block.get("version")), python=readable(block.get("python_version")))


def readable(text: object) -> Version | None:
    """Return a version, None for what is none."""
    try:
        return Version(text) if isinstance(text, str) else None
    except InvalidVersion:
        return None


def choose_base(asked: Asked, bases: Sequence[Base]) -> tuple[Base, str]:
    """Return the base for a workflow, and a note that says what differs ("" = nothing).

    Exact before near; of the near ones the engine counts first (newer before older), then Python. Raises BuildFailed (UNSUPPORTED_RUNTIME).
    """
    fitting = [base for base in bases if runs(base, asked)]
    if not fitting:
        known = "; ".join(f"{base} (runs workflows of engine {base.runs})" for base in bases)
        raise BuildFailed("UNSUPPORTED_RUNTIME", f"The workflow asks for {asked}. This installation has {known}.")
    base = min(fitting, key=lambda one: distance(one, asked))
    exact = asked.engine in (None, base.engine) and (asked.python is None or asked.python.release[:2] == base.python.release[:2])
    return base, "" if exact else f"The workflow asks for {asked}; it gets {base}, the nearest that this installation has."


def runs(base: Base, asked: Asked) -> bool:
    """Tell whether a base runs such workflows: its engine reads them, and it is the same Python but for the minor version."""
    engine = asked.engine is None or base.runs.contains(asked.engine, prereleases=True)
    return engine and (asked.python is None or asked.python.major == base.python.major)


def distance(base: Base, asked: Asked) -> tuple[Any, ...]:
    """Return what the bases are ordered by, the nearest first."""
    python = asked.python or base.python
    older = asked.engine is None or base.engine < asked.engine
    numbers = (*base.engine.release, 0, 0)[:3]
    engine = [-number for number in numbers] if older else list(numbers)
    return (older, engine, abs(base.python.minor - python.minor), base.python.minor < python.minor, base.name)
