"""Names that are part of paths, and the refusals when they are taken."""

from __future__ import annotations

import re

from controlplane.accounts.services import RESERVED_NAMES, USERNAME_RULE
from controlplane.common.errors import Conflict, InvalidInput

NAME_RULE = re.compile(r"^[A-Za-z0-9](?:[\w .-]{0,98}[\w-])?$", re.ASCII)


def check_organization_name(name: str) -> None:
    """Refuse names that could not be the first part of a path."""
    if not USERNAME_RULE.match(name):
        raise InvalidInput(
            "name",
            "An organization's name has 1 to 60 letters, digits, '_', '.' or '-', begins with a letter or digit and does not end in '.' or '-'.",
            fields={"name": ["not a valid name"]},
        )
    if name.lower() in RESERVED_NAMES:
        raise name_taken(name)


def check_namespace_name(name: str) -> None:
    """Refuse names that could not be part of a path."""
    if not NAME_RULE.match(name):
        raise InvalidInput(
            "name",
            "A namespace's name has 1 to 100 letters, digits, spaces, '_', '.' or '-', and begins with a letter or digit.",
            fields={"name": ["not a valid name"]},
        )


def name_taken(path: str) -> Conflict:
    """Return the refusal for a second workspace or namespace at one path."""
    return Conflict("name_taken", f"'{path}' is taken. Choose another name.", fields={"name": ["taken"]})
