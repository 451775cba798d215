"""From what the installer says to a typed reason that names the plugin and its requirement."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from django.conf import settings
from packaging.utils import canonicalize_name

from deployments.bundles.requirements import Wanted
from deployments.bundles.room import no_room
from deployments.errors import BuildDelayed, BuildFailed

PLUGIN = "slipway-plugin-"
# The index, or the way to it: it may answer later. A package that the index does not have is told in other words.
INDEX_DOWN = re.compile(
    r"Failed to (fetch|download)|error sending request|Request failed after|dns error|timed out|HTTP status (server|client) error|returned an? (401|403|5..)|"
    r"Could not connect|connection (refused|reset)|error decoding response body|lacks valid authentication|unexpected EOF",
    re.IGNORECASE,
)
NO_ROOM = "No space left on device"
WRONG_BYTES = "Hash mismatch"
OWN = rf"{PLUGIN}(\d+)(?:==1)?"
NEEDS = re.compile(rf"{OWN} depends? on ([^\s]+)")
VERDICTS: tuple[tuple[str, str, str], ...] = (
    ("NOT_FOUND", r"was not found in (the|any)", "there is no such package"),
    (
        "NO_WHEEL",
        r"has no (usable )?wheels|no wheels with a matching",
        "it comes without a wheel for the runtime (packages are never built from source)",
    ),
    ("WRONG_PYTHON", r"requires Python", "it is for another Python"),
    ("BAD_REQUIREMENT", rf"Failed to (build|parse)[^\n]*{PLUGIN}|URL dependenc", "it is none that can be installed"),
)


def explain(
    lines: Sequence[str], wanted: Sequence[Wanted], plugins: Sequence[str], engine: Mapping[str, str]
) -> BuildFailed | BuildDelayed:
    """Return the error to raise. `plugins` are the names behind the numbers in the installer's text, `engine` the packages that are held fast."""
    text = "\n".join(lines)
    said = readable(text, plugins)
    if NO_ROOM in text:
        return no_room(settings.BUILD_FOLDER)
    if INDEX_DOWN.search(text) and WRONG_BYTES not in text:
        return BuildDelayed("INDEX_DOWN", f"The package index does not answer as it should. The installer says: {said}")
    code, what = verdict(text, engine)
    return BuildFailed(code, f"{culprits(text, wanted, plugins)}: {what}. The installer says: {said}")


def verdict(text: str, engine: Mapping[str, str]) -> tuple[str, str]:
    """Return the code and what it means."""
    for code, pattern, meaning in VERDICTS:
        if re.search(pattern, text):
            return code, meaning
    held = [name for name, version in engine.items() if re.search(rf"(?<![\w-]){re.escape(name)}=={re.escape(version)}(?![\w.])", text)]
    if held:
        return "ENGINE_CONFLICT", f"the engine holds {', '.join(f'{name} {engine[name]}' for name in held)}"
    if len(set(re.findall(rf"{PLUGIN}(\d+)", text))) > 1:
        return "PLUGIN_CONFLICT", "together they have no solution"
    if re.search(rf"no versions? of|only (?!{PLUGIN})\S+ (is|are) available", text):
        return "NO_VERSION", "there is no such version"
    if "No solution found" in text:
        return "PLUGIN_CONFLICT", "together they have no solution"
    return "INSTALL_FAILED", "it was not installed"


def culprits(text: str, wanted: Sequence[Wanted], plugins: Sequence[str]) -> str:
    """Return the requirements that the text speaks of, with their plugins: those that it names, else all of the plugins in it, else all."""
    named = {(plugins[int(number)], canonicalize_name(re.split(r"[^\w.-]", what, maxsplit=1)[0])) for number, what in NEEDS.findall(text)}
    found = [item for item in wanted if (item.plugin, canonicalize_name(item.requirement.name)) in named]
    if not found:
        mentioned = {plugins[int(number)] for number in re.findall(rf"{PLUGIN}(\d+)", text)}
        found = (
            [item for item in wanted if item.plugin in mentioned]
            or [item for item in wanted if item.requirement.name in text]
            or list(wanted)
        )
    return "; ".join(dict.fromkeys(f"Plugin '{item.plugin}' needs {item.plain}" for item in found))


def readable(text: str, plugins: Sequence[str]) -> str:
    """Return the installer's text for people: in one line, with the plugins' names, without its last conclusion, which says nothing."""
    text = re.sub(r"\s*And because (only |you require )[^\n]*your requirements are unsatisfiable\.", "", text)
    text = re.sub(r"^(error|cause|hint): ", "", re.sub(r"\n\s*(error|cause|hint): ", "\n", text))
    text = re.sub(rf"{OWN}", lambda found: f"plugin '{plugins[int(found[1])]}'", text)
    return " ".join(text.split())[:1500]
