"""What plugins ask for, and what of it the runtime's environment lacks. Lines are parsed, never handed to an installer, and no plugin code runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
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

    @property
    def plain(self) -> str:
        """Return it as name, extras and versions; its marker has been looked at."""
        extras = f"[{','.join(sorted(self.requirement.extras))}]" if self.requirement.extras else ""
        return f"{self.requirement.name}{extras}{self.requirement.specifier}"


def wanted_by_plugins(sources: Sequence[Source], markers: Mapping[str, str] | None = None) -> list[Wanted]:
    """Return the requirements of all plugins that count where the markers' values are these (None: those of this process).

    Raises BuildFailed (BAD_REQUIREMENT) naming plugin, file and line.
    """
    found: list[Wanted] = []
    for plugin, name, member in plugin_files(sources):
        if REQUIREMENTS_FILE.match(name):
            if member.info.file_size > MAX_FILE_BYTES:
                raise BuildFailed("BAD_REQUIREMENT", f"Plugin '{plugin}': {name} is larger than {MAX_FILE_BYTES // 1024} KB.")
            text = member.archive.read(member.info).decode("utf-8", "replace")
            found += [Wanted(plugin, requirement) for requirement in parse(text, plugin=plugin, file=name, markers=markers)]
    return found


def parse(text: str, *, plugin: str, file: str, markers: Mapping[str, str] | None = None) -> list[Requirement]:
    """Return the requirements of a file; comments and empty lines are skipped, lines for other systems or Pythons left out."""
    found = []
    environment = None if markers is None else dict(markers)
    for number, raw in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if not line:
            continue
        try:
            requirement = Requirement(line)
            counts = requirement.marker is None or requirement.marker.evaluate(environment)
        except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName) as error:
            raise bad_line(plugin, file, number, line) from error
        if requirement.url:
            raise bad_line(plugin, file, number, line)
        if counts:
            found.append(requirement)
    return found


def bad_line(plugin: str, file: str, number: int, line: str) -> BuildFailed:
    """Return the refusal of a line that is no name with versions."""
    return BuildFailed("BAD_REQUIREMENT", f"Plugin '{plugin}', {file}, line {number}: '{line[:100]}' is no name with versions and marker.")


def to_install(wanted: Sequence[Wanted], installed: Mapping[str, str]) -> list[Wanted]:
    """Return what the engine's environment does not have; extras of what it has may need more, so they count as well.

    Raises BuildFailed (ENGINE_CONFLICT) naming every plugin and requirement that the environment has in another version: the engine's own
    packages are never replaced.
    """
    missing = []
    conflicts = []
    for item in wanted:
        name = canonicalize_name(item.requirement.name)
        version = installed.get(name)
        if name in OPENCV:
            continue
        if version is None:
            missing.append(item)
        elif not item.requirement.specifier.contains(version, prereleases=True):
            conflicts.append(f"plugin '{item.plugin}' needs {item.requirement}, but the engine's environment has {version}")
        elif item.requirement.extras:
            missing.append(item)
    if conflicts:
        text = "; ".join(conflicts) + "."
        raise BuildFailed("ENGINE_CONFLICT", text[0].upper() + text[1:])
    return missing
