"""Small checks on JSON values: is it there, is it of the kind that the engine and its clients read."""

from __future__ import annotations

import json
from typing import Any

from controlplane.projects.archive.problems import Problems
from controlplane.projects.archive.wording import quoted

HIGHEST_ID = 2**31 - 1


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def shown(value: Any) -> str:
    """A JSON value as it stands in the file, shortened."""
    return quoted(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:60].replace("[", "[ ")


def read_list(problems: Problems, holder: dict[str, Any], key: str, place: str, *, required: bool) -> list[Any]:
    """The list under `key`; empty when it is absent or wrong."""
    if key not in holder:
        if required:
            problems.add("workflow_structure", f"{place}/{key}", f"The list {quoted(key)} is missing. Write it, empty if need be.")
        return []
    value = holder[key]
    if not isinstance(value, list):
        problems.add("workflow_structure", f"{place}/{key}", f"{quoted(key)} is {kind(value)}; write a list.")
        return []
    return value


def read_objects(problems: Problems, holder: dict[str, Any], key: str, place: str, *, required: bool) -> list[tuple[str, dict[str, Any]]]:
    """The objects in the list under `key`, each with its place; what is no object is reported and left out."""
    found = []
    for index, value in enumerate(read_list(problems, holder, key, place, required=required)):
        where = f"{place}/{key}/{index}"
        if isinstance(value, dict):
            found.append((where, value))
        else:
            problems.add("workflow_structure", where, f"Each of {quoted(key)} is an object; this one is {kind(value)}.")
    return found


def read_object(problems: Problems, holder: dict[str, Any], key: str, place: str) -> dict[str, Any]:
    """The object under `key`; empty when it is absent or wrong."""
    value = holder.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add("workflow_structure", f"{place}/{key}", f"{quoted(key)} is {kind(value)}; write an object or leave it out.")
    return {}


def read_whole(problems: Problems, holder: dict[str, Any], key: str, place: str, *, lowest: int = 0) -> int | None:
    """The whole number under `key`, or None with a problem noted."""
    if key not in holder:
        problems.add("workflow_structure", f"{place}/{key}", f"The number {quoted(key)} is missing.")
        return None
    value = holder[key]
    if isinstance(value, bool) or not isinstance(value, int):
        problems.add("workflow_structure", f"{place}/{key}", f"{quoted(key)} is {kind(value)} ({shown(value)}); write a whole number.")
        return None
    if not lowest <= value <= HIGHEST_ID:
        problems.add(
            "workflow_structure", f"{place}/{key}", f"{quoted(key)} is {shown(value)}; write a number from {lowest} to {HIGHEST_ID}."
        )
        return None
    return value


def read_text(problems: Problems, holder: dict[str, Any], key: str, place: str, *, required: bool) -> str | None:
    """The string under `key`, or None; a missing required, an empty required or a wrong one is reported."""
    if key not in holder and not required:
        return None
    value = holder.get(key)
    if not isinstance(value, str):
        what = f"is {kind(value)} ({shown(value)})" if key in holder else "is missing"
        problems.add("workflow_structure", f"{place}/{key}", f"{quoted(key)} {what}; write a string.")
        return None
    if required and not value.strip():
        problems.add("workflow_structure", f"{place}/{key}", f"{quoted(key)} is empty; write a name.")
        return None
    return value
