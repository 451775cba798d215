"""What a step says to the loop."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing more to do now. Look again in `seconds`, or (None) when the intent changes."""

    seconds: float | None


# A step that changed something: look again at once.
GO_ON = None

Outcome = Wait | None


def soonest(*waits: float | None) -> Wait:
    """Wait until the first of these moments; None is no moment."""
    return Wait(min((wait for wait in waits if wait is not None), default=None))
