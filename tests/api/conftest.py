"""A clock that tests of the plumbing can move."""

from __future__ import annotations

import pytest

from controlplane.common import clock as real_clock
from tests.api.idempotency import MovedClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> MovedClock:
    """The clock of idempotency keys."""
    return MovedClock(lambda moved: monkeypatch.setattr(real_clock, "now", moved))
