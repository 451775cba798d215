"""workflow.json as bytes turned into a plain value, with everything refused that two readers might read differently."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

from controlplane.common.errors import InvalidInput
from controlplane.projects.archive.limits import ArchiveLimits
from controlplane.projects.archive.wording import quoted

_LONGEST_NUMBER = 40
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _Refused(ValueError):
    """A value that JSON's grammar or the standard reader would let pass."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def read_document(raw: bytes, *, limits: ArchiveLimits) -> dict[str, Any]:
    """The workflow object in `raw`.

    Raises InvalidInput: `workflow_too_large`, `workflow_encoding`, `workflow_not_json`, `workflow_duplicate_key`, `workflow_number`,
    `workflow_text`, `workflow_too_deep`, `workflow_structure`.
    """
    if raw.count(b",") > limits.workflow_values:
        raise InvalidInput(
            "workflow_too_large", f"workflow.json holds more than {limits.workflow_values} values. Make the workflow smaller."
        )
    try:
        value = json.loads(
            _decoded(raw), object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(
            "workflow_not_json", f"workflow.json is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except _Refused as refused:
        raise InvalidInput(refused.code, str(refused)) from refused
    except RecursionError as error:
        raise _too_deep(limits) from error
    if not isinstance(value, dict):
        raise InvalidInput("workflow_structure", "workflow.json must hold one object with tasks and connections. Save the workflow again.")
    _check_texts(value, limits=limits)
    return value


def _decoded(raw: bytes) -> str:
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput("workflow_encoding", "workflow.json starts with a byte order mark. Save it as UTF-8 without one.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "workflow_encoding", f"workflow.json is not UTF-8: byte {error.start} cannot be read. Save it as UTF-8."
        ) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _Refused("workflow_duplicate_key", f"In workflow.json one object has the key {quoted(twice)} twice. Keep one of them.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise _Refused("workflow_number", f"workflow.json holds {name}, which is no number in JSON. Write a finite number.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused("workflow_number", f"workflow.json holds the number {quoted(text)}, which is too big. Write a smaller one.")
    return value


def _whole(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _Refused("workflow_number", f"workflow.json holds a number of {len(text)} digits. Write a smaller one.")
    return int(text)


def _check_texts(document: dict[str, Any], *, limits: ArchiveLimits) -> None:
    """Refuse too deep values, and texts that PostgreSQL cannot store as jsonb (U+0000, lone surrogates)."""
    waiting: list[tuple[str, Any, int]] = [("", document, 1)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > limits.workflow_depth:
            raise _too_deep(limits)
        if isinstance(value, str):
            _check_text(value, place)
        elif isinstance(value, dict):
            for key, inner in value.items():
                _check_text(key, place)
                waiting.append((f"{place}/{key}", inner, depth + 1))
        elif isinstance(value, list):
            waiting.extend((f"{place}/{index}", inner, depth + 1) for index, inner in enumerate(value))


def _check_text(text: str, place: str) -> None:
    if _UNSTORABLE.search(text):
        raise InvalidInput(
            "workflow_text",
            f"The text at {quoted(place or '/')} of workflow.json holds a null or half a character. Remove it and save again.",
        )


def _too_deep(limits: ArchiveLimits) -> InvalidInput:
    return InvalidInput(
        "workflow_too_deep",
        f"workflow.json is nested more than {limits.workflow_depth} levels deep. Save the workflow again with the engine.",
    )
