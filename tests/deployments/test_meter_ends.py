"""`manage.py meter` as a process: it ends when it is told to, and at once, with a word, when one of its threads breaks; whoever supervises starts another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import connection

from controlplane.common.valkey import valkey
from controlplane.embedded.options import REPOSITORY
from deployments.usage_stream import STREAM

pytestmark = pytest.mark.django_db
SECONDS = 30
# A meter in which one call raises what nobody foresaw.
CHILD = """
import sys
import django
django.setup()
from django.core.management import call_command
from deployments import meter
def broken(*_, **__):
    raise ZeroDivisionError("nobody foresaw this")
if len(sys.argv) > 1:
    setattr(meter, sys.argv[1], broken)
call_command("meter")
"""


@contextmanager
def running_meter(*broken: str) -> Iterator[subprocess.Popen[str]]:
    """A meter on this test's servers; killed at the end if it still runs."""
    url = "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**connection.settings_dict)
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL, "DJANGO_SETTINGS_MODULE": "controlplane.settings"}
    words = [sys.executable, "-c", CHILD, *broken]
    out, err = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(words, cwd=REPOSITORY, env=environment, text=True, stdout=out, stderr=err) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("call", "thread"), [("new_entries", "taker"), ("keep", "charger"), ("ensure_group", "MainThread")], ids=["taker", "charger", "clock"]
)
def test_a_meter_whose_thread_breaks_ends_at_once_and_says_so(call: str, thread: str) -> None:
    valkey().delete(STREAM)
    valkey().xadd(STREAM, {"run": "1", "deployment": "d"})

    with running_meter(call) as meter:
        said, _ = meter.communicate(timeout=SECONDS)

    assert meter.returncode == 1
    assert re.search(rf"{thread}\d? broke", said)
    assert "ZeroDivisionError: nobody foresaw this" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_meter_that_is_told_to_end_ends_well(number: signal.Signals) -> None:
    with running_meter() as meter:
        assert meter.stdout is not None
        assert meter.stdout.readline() == "meter ready.\n"
        meter.send_signal(number)
        said, _ = meter.communicate(timeout=SECONDS)

    assert (meter.returncode, "broke" in said) == (0, False)
