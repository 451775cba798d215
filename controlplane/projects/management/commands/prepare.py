"""`manage.py prepare`: make ready what the service needs beyond its tables; safe to repeat."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from controlplane.accounts.keys import current_key
from controlplane.common.clock import now
from controlplane.common.errors import Unavailable
from controlplane.common.objectstore import object_store
from controlplane.projects.examples_catalogue import store_examples

PATIENCE_S = 30.0
RUN_DAYS = 2  # the gateway remembers a run for one day


class Command(BaseCommand):
    """The bucket with its rules for the objects of runs and for browsers, the first signing key, the archives of the example workflows."""

    help = "Make the bucket, the first signing key and the example archives. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare; an object store that is still starting is waited for."""
        store = object_store()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                store.ensure_bucket()
                keys = store_examples(store)
                break
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise CommandError(f"{error.detail} Check S3_ENDPOINT_URL, S3_ACCESS_KEY and S3_SECRET_KEY.") from error
                time.sleep(0.2)
        if not store.expire("runs/", days=RUN_DAYS):
            self.stderr.write(
                f"The object store takes no lifecycle rule: delete objects below runs/ that are older than {RUN_DAYS} days yourself."
            )
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(settings.PUBLIC_URL))
        if not store.allow_origin(origin):
            self.stderr.write(f"The object store takes no rule for origins: allow pages of {origin} to PUT and POST there yourself.")
        key = current_key(now())
        self.stdout.write(f"bucket {store.bucket}, signing key {key.kid}, {len(keys)} example archives")
