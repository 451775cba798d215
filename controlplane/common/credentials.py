"""What a request came with, as far as it may be narrower than the person."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from controlplane.common.errors import PermissionDenied


class Credential(Protocol):
    """An API token. `scopes` is None for a full one."""

    @property
    def scopes(self) -> Collection[str] | None:
        """The scopes that it was given."""

    def covers(self, scope: str) -> bool:
        """Tell whether it may be used for this scope."""


def check_scope(credential: Credential | None, scope: str) -> None:
    """Raise `PermissionDenied` for a token that is narrower than what it is used for."""
    if credential is not None and not credential.covers(scope):
        held = ", ".join(credential.scopes or ())
        raise PermissionDenied("wrong_scope", f"This token has the scopes {held}. This takes '{scope}': make a token that has it.")
