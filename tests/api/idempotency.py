"""What tests of idempotency keys share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from controlplane.accounts.models import User
from controlplane.common import clock

KEY = "5f0e2b9d-4c11-4a53-9a53-6f0e2b9d4c31"
REAL_NOW = clock.now


class MovedClock:
    """The present time and what it was put forward by, for all that asks `clock.now`."""

    def __init__(self, set_now: Callable[[Callable[[], datetime]], None]) -> None:
        self.ahead = timedelta(0)
        set_now(lambda: REAL_NOW() + self.ahead)

    def advance(self, **by: float) -> None:
        """Put it forward: `advance(hours=2)`."""
        self.ahead += timedelta(**by)


def projects_url(user: User) -> str:
    """Return where projects of the person's own namespace are made."""
    return f"/v1/namespaces/{user.namespaces.get(parent=None).pk}/projects/"


def post(client: Any, path: str, body: Any, key: str | None = KEY, **headers: str) -> Any:
    """POST JSON under a key."""
    given = {} if key is None else {"Idempotency-Key": key}
    return client.post(path, body, format="json", headers={**given, **headers})


def refusal(answer: Any) -> tuple[int, str]:
    """Return status and code."""
    return answer.status_code, answer.json()["code"]
