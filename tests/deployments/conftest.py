"""Fixtures of deployments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from controlplane.accounts.models import User
from controlplane.common import clock
from controlplane.common.objectstore import object_store
from controlplane.common.valkey import valkey
from deployments.bundles.build import build_for_waiting
from deployments.models import Deployment
from deployments.providers import registry
from deployments.reconcile.loop import reconcile
from tests.deployments.builders import make_owner
from tests.fakes.provider import FakeProvider


class Clock:
    """The time as the code under test sees it; moves only when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def moving_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves."""
    made = Clock()
    monkeypatch.setattr(clock, "now", lambda: made.now)
    monkeypatch.setattr("django.utils.timezone.now", lambda: made.now)
    return made


@pytest.fixture
def owner(transactional_db: None) -> User:
    """A user with a namespace; commits are real, so that what follows a commit happens."""
    return make_owner()


@pytest.fixture(autouse=True)
def no_wakeups(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Keep hints out of the broker: tests look at deployments themselves."""
    sent: list[object] = []
    monkeypatch.setattr("deployments.wakeups.send_wakeup", lambda pk, **_: sent.append(pk))
    return sent


@pytest.fixture(autouse=True)
def builder_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build what is asked for at once, in the place of the builders' queue."""
    monkeypatch.setattr("deployments.wakeups.send_build", build_for_waiting)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    """A fake provider in the place of the local driver, and an empty route table."""
    fake = FakeProvider()
    monkeypatch.setitem(registry.DRIVERS, "local", lambda: fake)
    registry.provider.cache_clear()
    object_store().ensure_bucket()
    for key in valkey().scan_iter("sw:*"):
        valkey().delete(key)
    yield fake
    registry.provider.cache_clear()


@pytest.fixture
def paying(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workspaces on a plan without limits and without credits of its own; hints of billing reach no broker, tests follow the word themselves."""
    settings.PERSONAL_PLAN = "custom"
    monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)


@pytest.fixture
def settle(moving_clock: Clock) -> Callable[..., Deployment]:
    """Return `settle(deployment)`: look again and again, moving the clock, until nothing is left to do soon."""

    def looked_at(deployment: Deployment, *, longest: float = 5.0) -> Deployment:
        for _ in range(60):
            reconcile(deployment.pk)
            # As the row says it: a build that has ended meanwhile asks for a look at once.
            at = Deployment.objects.values_list("next_check_at", flat=True).get(pk=deployment.pk)
            if at is None or (at - moving_clock.now).total_seconds() > longest:
                break
            moving_clock.advance(max((at - moving_clock.now).total_seconds(), 0.0))
        deployment.refresh_from_db()
        return deployment

    return looked_at


@pytest.fixture
def runtime_python() -> Path:
    """The interpreter of the runtime's environment."""
    return Path(__file__).parents[2] / "runtime" / ".venv" / "bin" / "python"
