"""The Celery application of the bench's workers: that of the product, with the slow cloud in the place of the local driver."""

from __future__ import annotations

import os

from bench.slow_cloud import provider_at
from controlplane.celery import app
from deployments.providers import registry
from deployments.providers.base import Provider

__all__ = ["app"]


def slow_cloud() -> Provider:
    """Connect at the first call: Celery loads this module in beat too."""
    return provider_at(os.environ["BENCH_CLOUD"], logs=os.environ.get("BENCH_LOGS") == "1")


registry.DRIVERS["local"] = slow_cloud
