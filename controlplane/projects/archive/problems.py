"""What is wrong with a workflow.json, collected so that one push tells of all of it."""

from __future__ import annotations

from controlplane.common.errors import InvalidInput

_MOST = 20


class Problems:
    """A growing list of faults, each at a place written as a JSON pointer (RFC 6901)."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, str]] = []

    def add(self, code: str, place: str, message: str) -> None:
        """Note a fault; `message` is a whole sentence that names what is wrong and what to write instead."""
        self._found.append((code, place, message))

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raise InvalidInput with the first fault's code; `fields` maps each place to its messages."""
        if not self._found:
            return
        code, place, message = self._found[0]
        others = len(self._found) - 1
        detail = f"{message} (at {place or '/'} of workflow.json)"
        if others:
            detail += f" And {others} more: see fields."
        fields: dict[str, list[str]] = {}
        for _, where, what in self._found[:_MOST]:
            fields.setdefault(where or "/", []).append(what)
        raise InvalidInput(code, detail, fields=fields)
