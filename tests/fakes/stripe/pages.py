"""Lists of things, page by page, and things with others put in where an id stood."""

from __future__ import annotations

import copy
from typing import Any

from tests.fakes.stripe.account import KINDS, Account, Json
from tests.fakes.stripe.forms import Form
from tests.fakes.stripe.refusals import invalid

MOST = 100
DEEPEST_EXPANSION = 4


def page(url: str, found: list[Json], form: Form) -> Json:
    """Return a page of a list that is in its order: ten things, or `limit`, after `starting_after` or before `ending_before`."""
    limit = int(form.get("limit", 10))
    if not 1 <= limit <= MOST:
        raise invalid("This value must be between 1 and 100.", param="limit", code="parameter_invalid_integer")
    names = [thing["id"] for thing in found]
    if last := form.get("starting_after"):
        rest = found[place(names, last, "starting_after") + 1 :]
        return envelope(url, rest[:limit], more=len(rest) > limit)
    if first := form.get("ending_before"):
        rest = found[: place(names, first, "ending_before")]
        return envelope(url, rest[-limit:], more=len(rest) > limit)
    return envelope(url, found[:limit], more=len(found) > limit)


def place(names: list[str], name: str, param: str) -> int:
    """Return where a list is to go on."""
    if name not in names:
        raise invalid(f"No such object: '{name}'", param=param, code="resource_missing")
    return names.index(name)


def envelope(url: str, data: list[Json], *, more: bool = False) -> Json:
    """Return a list as Stripe writes it."""
    return {"object": "list", "data": data, "has_more": more, "url": url}


def expanded(account: Account, thing: Json, form: Form) -> Json:
    """Return a copy with what `expand` names; `data.x` is x of each thing of a list."""
    made = copy.deepcopy(thing)
    for path in form.get("expand", []):
        if path.count(".") >= DEEPEST_EXPANSION:
            raise invalid("You cannot expand more than 4 levels of a property.", param="expand")
        expand(account, made, path.split("."), path)
    return made


def expand(account: Account, thing: Any, steps: list[str], path: str) -> None:
    """Follow a path and put what it names in its place."""
    if isinstance(thing, list):
        for part in thing:
            expand(account, part, steps, path)
        return
    step, *rest = steps
    if not isinstance(thing, dict) or step not in thing:
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    if isinstance(thing[step], str):
        thing[step] = copy.deepcopy(named(account, thing[step], path))
    if rest and thing[step] is not None:
        expand(account, thing[step], rest, path)


def named(account: Account, name: str, path: str) -> Json:
    """Return the thing with an id."""
    prefix = name.rpartition("_")[0]
    if prefix not in KINDS or name not in account.objects[KINDS[prefix]]:
        raise invalid(f"This property cannot be expanded ({path}).", param="expand")
    return account.objects[KINDS[prefix]][name]
