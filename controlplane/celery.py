"""The Celery application of workers and beat."""

import gc
import os

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_ready
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

app = Celery("slipway", fixups=["controlplane.celery_fixup:fixup"])
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: object) -> None:
    """Let Django's LOGGING stand: Celery would replace it."""
    from logging.config import dictConfig

    dictConfig(settings.LOGGING)


@worker_ready.connect
@beat_init.connect
def leave_imports_alone(**_: object) -> None:
    """Leave what the imports made, 160,000 objects, out of each full collection: a tenth of a second of a core every time."""
    gc.collect()
    gc.freeze()
