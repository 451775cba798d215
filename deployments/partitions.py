"""Tables that are partitioned by time: each period a partition, made ahead, dropped whole when its rows are too old.

A row whose period has no partition lies in the default one, so that none is ever refused; when the period's partition is made, it moves there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile

from django.db import OperationalError, connection, transaction

logger = logging.getLogger(__name__)

# Whoever waits for the table waits for us, too: rather try again in five minutes.
LOCK_SECONDS = 3
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Partitions:
    """The partitions of a table: `{table}_{stamp}`, and `{table}_default` for the rest.

    `column` decides; `key` gives the least value of it, as SQL, that a row from a moment on has. `stamp` names a period by its begin (strftime),
    and `following` tells when the next one begins. `keeper`: one keeper at a time, by this number of an advisory lock.
    """

    table: str
    column: str
    stamp: str
    key: Callable[[datetime], str]
    following: Callable[[datetime], datetime]
    keeper: int

    @property
    def default(self) -> str:
        """Return the partition of rows whose period has none."""
        return f"{self.table}_default"

    def make_missing(self, wanted: Iterable[datetime]) -> int:
        """Make the partitions of the periods that begin at `wanted`; return how many there were to make.

        A table that is in use for longer than 3 seconds is left for the next time.
        """
        present = self.present()
        return sum(self.attempt(self.make, begin) for begin in wanted if begin not in present)

    def drop_until(self, oldest: datetime) -> int:
        """Drop the partitions whose rows are all older than a moment, the oldest first; return how many. The first that is in use ends it."""
        too_old = [begin for begin in self.present() if self.following(begin) <= oldest]
        return sum(1 for _ in takewhile(lambda begin: self.attempt(self.drop, begin), too_old))

    def attempt(self, change: Callable[[datetime], None], begin: datetime) -> bool:
        """Change one partition in a transaction of its own; False when the table is in use for too long."""
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [self.keeper])
                change(begin)
        except OperationalError as error:
            logger.warning("partition %s is left for the next time: %s", self.named(begin), error)
            return False
        return True

    def named(self, begin: datetime) -> str:
        """Return the name of a period's partition."""
        return f"{self.table}_{begin:{self.stamp}}"

    def make(self, begin: datetime) -> None:
        """Make a period's partition, with the rows of it that came before, in the caller's transaction."""
        if begin in self.present():
            return
        name, first, end = self.named(begin), self.key(begin), self.key(self.following(begin))
        of_period = f"{self.column} >= {first} AND {self.column} < {end}"
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {self.default} IN ACCESS EXCLUSIVE MODE")
            cursor.execute(f"CREATE TABLE {name} (LIKE {self.table} INCLUDING ALL, CONSTRAINT of_period CHECK ({of_period}))")
            moved = f"WITH moved AS (DELETE FROM {self.default} WHERE {of_period} RETURNING *) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608
            cursor.execute(moved)
            # Attached, not made as a partition: who reads and writes the other periods need not wait.
            cursor.execute(f"ALTER TABLE {self.table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})")
            cursor.execute(f"ALTER TABLE {name} DROP CONSTRAINT of_period")

    def drop(self, begin: datetime) -> None:
        """Drop a period with its rows, in the caller's transaction."""
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {self.named(begin)}")

    def prune_default(self, oldest: datetime) -> None:
        """Delete too old rows of periods that never had a partition, in batches; usually there are none."""
        chosen = f"SELECT ctid FROM {self.default} WHERE {self.column} < {self.key(oldest)} LIMIT {BATCH}"  # noqa: S608
        deleted = BATCH
        while deleted == BATCH:
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {self.default} WHERE ctid = ANY (ARRAY({chosen}))")  # noqa: S608
                deleted = cursor.rowcount

    def present(self) -> list[datetime]:
        """Return the begins of the periods that have a partition, the oldest first."""
        prefix = f"{self.table}_{self.stamp.partition('%')[0]}"
        names = [name for name in self.names() if name.startswith(prefix) and name[len(prefix) :].isdigit()]
        return sorted(datetime.strptime(name.removeprefix(f"{self.table}_"), self.stamp).replace(tzinfo=UTC) for name in names)

    def names(self) -> list[str]:
        """Return the names of all partitions."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = %s::regclass", [self.table]
            )
            return [name for (name,) in cursor.fetchall()]
