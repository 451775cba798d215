"""What clients send about algorithms, made into plain fields: JSON, or multipart forms whose lists and objects are parts of JSON."""

from __future__ import annotations

import json
from typing import Any

from django.http import QueryDict
from rest_framework.request import Request

from controlplane.common.errors import InvalidInput, TooLarge

LISTS = {"keywords", "algo_task", "os", "architecture", "features"}
STRUCTURED = LISTS | {"paper", "python_min_version", "python_max_version"}


def fields_of(request: Request) -> Any:
    """Return the fields of a body that are not null. Raises `InvalidInput` for a part that should be JSON and is not."""
    data = request.data
    if isinstance(data, QueryDict):
        return {name: structured(name, data.getlist(name)) for name in data}
    return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


def structured(name: str, values: list[Any]) -> Any:
    """Return a field of a form: the list or object in its text, a list of texts where lists go, else its last value."""
    last = values[-1]
    if name not in STRUCTURED or not isinstance(last, str):
        return last
    if len(values) > 1:
        return values
    if not last.lstrip().startswith(("[", "{")):
        plain = [last] if last else []
        return plain if name in LISTS else last
    try:
        return json.loads(last)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("malformed", f"The part '{name}' is not JSON.", fields={name: ["not JSON"]}) from error


def refuse_large(request: Request, most: int, advice: str) -> None:
    """Raise `TooLarge` before a body over the limit is read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > most:
        raise TooLarge("archive_too_large", f"An upload here may have {most // 2**20} MB. {advice}")


def flag(request: Request, name: str) -> bool | None:
    """Return a yes or no of the query, None without one. Raises `InvalidInput`."""
    value = request.query_params.get(name, "").lower()
    if value not in {"", "true", "1", "false", "0"}:
        raise InvalidInput("invalid", f"Give `{name}` as true or false.", fields={name: ["true or false"]})
    return value in {"true", "1"} if value else None
