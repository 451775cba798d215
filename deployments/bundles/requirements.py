"""What plugins ask for, against what the runtime's environment has. Lines are parsed, never handed to an installer, and no plugin code runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deployments.bundles.layer import Source, plugin_files
from deployments.errors import BuildFailed

# The names that the engine itself installs the requirements of a plugin from.
REQUIREMENTS_FILE = re.compile(r"^[rR]equirements[0-9]*\.txt$")
MAX_FILE_BYTES = 256 * 1024
# The engine brings its own cv2, whatever distribution a plugin names.
OPENCV = {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One requirement line of a plugin."""

    plugin: str
    requirement: Requirement


def wanted_by_plugins(sources: Sequence[Source]) -> list[Wanted]:
    """Return the requirements of all plugins. Raises BuildFailed (BAD_REQUIREMENT) naming plugin, file and line."""
    found: list[Wanted] = []
    for plugin, name, member in plugin_files(sources):
        if REQUIREMENTS_FILE.match(name):
            if member.info.file_size > MAX_FILE_BYTES:
                raise BuildFailed("BAD_REQUIREMENT", f"Plugin '{plugin}': {name} is larger than {MAX_FILE_BYTES // 1024} KB.")
            text = member.archive.read(member.info).decode("utf-8", "replace")
            found += [Wanted(plugin, requirement) for requirement in parse(text, plugin=plugin, file=name)]
    return found


def parse(text: str, *, plugin: str, file: str) -> list[Requirement]:
    """Return the requirements of a file; comments and empty lines are skipped, lines for other systems or Pythons left out."""
    found = []
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise bad_line(plugin, file, number, line) from error
        if requirement.url:
            raise bad_line(plugin, file, number, line)
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found


def bad_line(plugin: str, file: str, number: int, line: str) -> BuildFailed:
    """Return the refusal of a line that is no name with versions."""
    return BuildFailed("BAD_REQUIREMENT", f"Plugin '{plugin}', {file}, line {number}: '{line[:100]}' is no name with versions and marker.")


def installed_in(python: Path) -> dict[str, str] | None:
    """Return the distributions (name → version) of an interpreter's environment, or None if it is not on this machine."""
    folders = tuple(str(path) for path in sorted(python.parent.parent.glob("lib/python3.*/site-packages")))
    return scan(folders) if folders else None


@lru_cache(maxsize=4)
def scan(folders: tuple[str, ...]) -> dict[str, str]:
    """Return the distributions in these folders; an environment does not change while a worker lives."""
    return {canonicalize_name(found.metadata["Name"]): found.version for found in distributions(path=list(folders))}


def check_requirements(wanted: list[Wanted], installed: dict[str, str]) -> None:
    """Raise BuildFailed (MISSING_REQUIREMENT) naming every plugin and requirement that the environment does not meet."""
    missing = []
    for item in wanted:
        name = canonicalize_name(item.requirement.name)
        if name in OPENCV:
            continue
        version = installed.get(name)
        if version is None:
            missing.append(f"plugin '{item.plugin}' needs {item.requirement}, which is not installed")
        elif not item.requirement.specifier.contains(version, prereleases=True):
            missing.append(f"plugin '{item.plugin}' needs {item.requirement}, but the engine's environment has {version}")
    if missing:
        text = "; ".join(missing) + "."
        raise BuildFailed("MISSING_REQUIREMENT", text[0].upper() + text[1:])
