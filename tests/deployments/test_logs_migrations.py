"""The log moves into its days when an installation is upgraded: whole, once, and in little time with the table locked."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection, transaction

from controlplane.common.clock import milliseconds
from deployments.logs_partitions import DAY, LOG, keep_log_partitions
from deployments.models import LogLine
from tests.deployments.test_logs_partitions import lines_in

DEPLOYMENT = UUID(int=1)
HOUR_MS = 3_600_000
FORMER = f"CREATE TABLE deployments_logline (id bigserial PRIMARY KEY, LIKE {LOG.table})"
ADD = """
    INSERT INTO deployments_logline (deployment_id, "timestamp", level, source, message)
    SELECT %s, %s + n::bigint * %s, 'INFO', 'run', 'line ' || n FROM generate_series(0, %s) AS n"""


def migration(name: str) -> ModuleType:
    return importlib.import_module(f"deployments.migrations.{name}")


def midnight() -> datetime:
    """Return the beginning of the present day, as the migrations see it."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def add_former(first: datetime, count: int, *, apart_ms: int = HOUR_MS) -> None:
    """Write lines to the former table."""
    with connection.cursor() as cursor:
        cursor.execute(ADD, [DEPLOYMENT, milliseconds(first), apart_ms, count - 1])


def copy() -> None:
    with connection.schema_editor(atomic=False) as editor:
        migration("0010_copy_log").copy_lines(apps, editor)


def copy_the_rest() -> None:
    with transaction.atomic(), connection.schema_editor() as editor:
        migration("0011_drop_former_log").copy_the_rest(apps, editor)


@pytest.fixture
def former(transactional_db: None) -> Iterator[None]:
    """The table of the former version; what days the test makes are dropped."""
    with connection.cursor() as cursor:
        cursor.execute(FORMER)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE deployments_logline")
        for day in LOG.present():
            cursor.execute(f"DROP TABLE {LOG.table}_d{day:%Y%m%d}")


def test_all_lines_are_copied_once_however_often_it_is_run(former: None) -> None:
    add_former(midnight() - 3 * DAY, 20_005, apart_ms=1000)

    copy()
    copy()
    copy_the_rest()

    assert LogLine.objects.count() == 20_005
    assert LogLine.objects.get(timestamp=milliseconds(midnight() - 3 * DAY) + 20_004_000).message == "line 20004"


def test_each_day_with_lines_has_its_partition_so_that_nothing_has_to_be_moved_later(former: None) -> None:
    add_former(midnight() - 29 * DAY, 30 * 24)

    copy()

    assert lines_in(LOG.default) == 0
    assert LOG.present() == [midnight() + offset * DAY for offset in range(-29, 8)]
    assert keep_log_partitions() == (0, 0)


def test_a_line_of_an_impossible_time_is_copied_too(former: None) -> None:
    add_former(datetime(1970, 1, 2, tzinfo=UTC), 1)
    add_former(midnight() + 4000 * DAY, 1)

    copy()

    assert (LogLine.objects.count(), lines_in(LOG.default), len(LOG.present())) == (2, 2, 9)


def test_what_was_copied_is_not_looked_at_again_while_all_others_wait(former: None) -> None:
    add_former(midnight() - DAY, 50)
    copy()
    LogLine.objects.all().delete()
    add_former(midnight() + timedelta(minutes=1), 3)

    copy_the_rest()

    assert LogLine.objects.count() == 3


def test_a_line_that_is_being_written_is_waited_for(former: None) -> None:
    """Its id is lower than those that others have committed meanwhile: whoever goes on above those would never see it."""
    written, ended = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            add_former(midnight(), 1)
            written.set()
            ended.wait(0.5)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    written.wait(10)
    add_former(midnight() + DAY, 1)

    copy()
    ended.set()
    writer.join(20)

    assert LogLine.objects.count() == 2


def test_an_installation_without_lines_makes_nothing(former: None) -> None:
    copy()
    copy_the_rest()

    assert (LogLine.objects.count(), LOG.present()) == (0, [])
