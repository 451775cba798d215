"""Seeds of faults. `make chaos` runs 500; a short form is part of `make test`. `CHAOS_FIRST=n CHAOS_SEEDS=1` runs one of them again."""

from __future__ import annotations

import gc
import os
from collections import Counter

import pytest
from django.db import connection
from pytest_django import Settings

from controlplane.common.objectstore import object_store
from controlplane.common.valkey import valkey
from deployments import checkpoints
from deployments.providers import registry
from tests.chaos.truths import untruths
from tests.chaos.world import World

FIRST = int(os.environ.get("CHAOS_FIRST", "0"))
SEEDS = int(os.environ.get("CHAOS_SEEDS", "4"))
MANY = 200
KILLED_AT: Counter[str] = Counter()

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_after_all_faults_everything_is_as_wanted_and_charged_as_used(
    seed: int, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    # What the imports have left behind is not looked through again and again.
    gc.freeze()
    object_store().ensure_bucket()
    monkeypatch.setattr(registry, "DRIVERS", {})
    settings.PERSONAL_PLAN = "custom"
    run_seed(seed, monkeypatch)


def run_seed(seed: int, patch: pytest.MonkeyPatch) -> None:
    """Live through one seed and look at the end."""
    valkey().flushdb()
    world = World(seed)
    world.install(patch, registry.DRIVERS)
    registry.provider.cache_clear()
    try:
        world.live(minutes=12)
        world.calm_down(minutes=25)
        wrong = untruths(world)
    finally:
        connection.close()
        registry.provider.cache_clear()
        KILLED_AT.update(world.killed_at)
    assert not wrong, "\n".join([f"seed {seed}:", *wrong, "", *world.log])


@pytest.mark.skipif(SEEDS < MANY, reason="only many seeds kill a worker at every boundary")
def test_workers_were_killed_at_every_boundary() -> None:
    assert set(KILLED_AT) >= {*checkpoints.NAMES, "spans_charged", "metered"} - {"smoke_failed"}
