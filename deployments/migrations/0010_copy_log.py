"""Copy log lines to the partitioned table in batches; it can be run again.

Each day that has lines gets its partition first: a line in the default one would have to be looked at, with all of them locked, whenever a
day's partition is made in the months after. How far it came is kept in the former table's comment, for the migration that drops it.
"""

from datetime import UTC, datetime, timedelta

from django.db import migrations, transaction

BATCH = 10_000
DAY_MS = 86_400_000
# Lines of other days are few and wrong, or will be deleted at once.
DAYS_BACK, DAYS_AHEAD = 400, 7

DAYS = """
    SELECT DISTINCT "timestamp" / %(day)s FROM deployments_logline
    WHERE id > %(after)s AND id <= %(last)s AND "timestamp" >= %(first)s AND "timestamp" < %(end)s"""
COPY = """
    WITH batch AS (SELECT * FROM deployments_logline WHERE id > %(after)s AND id <= %(last)s ORDER BY id LIMIT %(batch)s),
    copied AS (
        INSERT INTO deployments_log SELECT deployment_id, "timestamp", level, source, message, run, duration_ms FROM batch
        ON CONFLICT DO NOTHING
    )
    SELECT max(id) FROM batch"""


def copy_lines(apps, schema_editor):
    """Copy until there is little left; whoever drops the table copies what was written since."""
    with schema_editor.connection.cursor() as cursor:
        after, last = reached(cursor), committed(schema_editor.connection)
        while last > after:
            make_days(cursor, after, last)
            copy(cursor, after, last)
            cursor.execute(f"COMMENT ON TABLE deployments_logline IS '{last}'")
            after, last = last, committed(schema_editor.connection)
            if last - after < BATCH:
                return


def copy(cursor, after, last):
    """Copy the lines with ids above `after`, to `last`."""
    while after is not None:
        cursor.execute(COPY, {"after": after, "last": last, "batch": BATCH})
        (after,) = cursor.fetchone()


def reached(cursor):
    """Return the id up to which everything is copied."""
    cursor.execute("SELECT coalesce(obj_description('deployments_logline'::regclass), '0')::bigint")
    return cursor.fetchone()[0]


def committed(connection):
    """Return an id up to which every line is there: who has one and has not committed it is waited for, with nobody else writing."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE deployments_logline IN SHARE MODE")
        return last_id(cursor)


def last_id(cursor):
    """Return the highest id that can be seen, 0 if there is none."""
    cursor.execute("SELECT coalesce(max(id), 0) FROM deployments_logline")
    return cursor.fetchone()[0]


def make_days(cursor, after, last):
    """Make the partitions of the days that have lines with these ids, and of the week to come. Nothing is made where there are no lines."""
    if last == after:
        return
    today = int(datetime.now(UTC).timestamp() * 1000) // DAY_MS
    bounds = {"first": (today - DAYS_BACK) * DAY_MS, "end": (today + DAYS_AHEAD + 1) * DAY_MS}
    cursor.execute(DAYS, {"after": after, "last": last, "day": DAY_MS, **bounds})
    for day in sorted({number for (number,) in cursor.fetchall()} | set(range(today - 1, today + DAYS_AHEAD + 1))):
        date = datetime.fromtimestamp(0, UTC) + timedelta(days=day)
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS deployments_log_d{date:%Y%m%d} PARTITION OF deployments_log "
            f"FOR VALUES FROM ({day * DAY_MS}) TO ({(day + 1) * DAY_MS})"
        )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("deployments", "0009_log_partitions"),
    ]

    operations = [migrations.RunPython(copy_lines, migrations.RunPython.noop)]
