"""A project with a webhook whose receiver is on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.projects.models import Project
from controlplane.webhooks import outbox, wire
from controlplane.webhooks.catalogue import EVENTS
from controlplane.webhooks.models import Webhook
from controlplane.webhooks.services import create_webhook
from tests.factories import make_project
from tests.webhooks.receiver import Receiver


class Clock:
    """The time as the code under test sees it; moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def advance(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def moving_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves."""
    made = Clock()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    return made


@pytest.fixture(autouse=True)
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep hints out of the broker: tests look at the outbox themselves."""
    sent: list[str] = []
    monkeypatch.setattr(outbox, "send_task", lambda name, **_: sent.append(name))
    return sent


@pytest.fixture(autouse=True)
def loopback(settings: Any) -> None:
    """Receivers may be on this machine."""
    settings.WEBHOOK_LOOPBACK = True


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deadline that tests can wait for."""
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.3)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def project(user: User) -> Project:
    """A project of the user."""
    return make_project(user)


Listen = Callable[..., tuple[Webhook, str]]


@pytest.fixture
def listen(user: User, project: Project) -> Listen:
    """Return `listen(url)`: a webhook for all events, and its secret."""

    def add(url: str, *, events: Any = EVENTS, to: Project | None = None) -> tuple[Webhook, str]:
        return create_webhook(actor=user, project_id=(to or project).pk, target_url=url, events=events)

    return add


@pytest.fixture
def webhook(listen: Listen, receiver: Receiver) -> Webhook:
    """A webhook of the project for all events, to the receiver."""
    return listen(receiver.url)[0]
