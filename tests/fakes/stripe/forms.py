"""Stripe's form encoding: `items[0][price]=x` means {"items": [{"price": "x"}]}. All values are text."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

Form = dict[str, Any]


def read_form(text: str) -> Form:
    """Return what a query or a body says, nested."""
    form: Form = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        put(form, path_of(name), value)
    return {name: listed(value) for name, value in form.items()}


def path_of(name: str) -> list[str]:
    """`a[b][0]` as a, b, 0."""
    first, _, rest = name.partition("[")
    return [first, *rest.removesuffix("]").split("][")] if rest else [first]


def put(form: Form, path: list[str], value: str) -> None:
    """Set a value, and make what lies on the way to it."""
    for step in path[:-1]:
        form = form.setdefault(step, {})
    # `expand[]=x` counts by itself.
    form[path[-1] or str(len(form))] = value


def listed(value: Any) -> Any:
    """Turn what is numbered into lists."""
    if not isinstance(value, dict):
        return value
    found = {name: listed(part) for name, part in value.items()}
    if found and all(name.isdigit() for name in found):
        return [found[name] for name in sorted(found, key=int)]
    return found


def flag(form: Form, name: str, *, default: bool = False) -> bool:
    """Return a value that is `true` or `false`."""
    return bool({"true": True, "false": False}[form[name]]) if name in form else default
