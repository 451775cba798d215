"""The Celery application of the bench's workers: that of the product, with the slow cloud in the place of the local driver."""

from __future__ import annotations

import os

from bench.slow_cloud import CloudClient
from controlplane.celery import app
from deployments.providers import registry
from deployments.providers.base import Provider

__all__ = ["app"]


def slow_cloud() -> Provider:
    """Connect at the first call: Celery loads this module in beat too."""
    return CloudClient(os.environ["BENCH_CLOUD"])


registry.DRIVERS["local"] = slow_cloud
