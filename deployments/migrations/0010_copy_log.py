"""Copy log lines to the partitioned table in batches; it can be run again."""

from django.db import migrations

COPY = """
    WITH batch AS (SELECT * FROM deployments_logline WHERE id > %(after)s ORDER BY id LIMIT 10000),
    copied AS (
        INSERT INTO deployments_log SELECT deployment_id, "timestamp", level, source, message, run, duration_ms FROM batch
        ON CONFLICT DO NOTHING
    )
    SELECT max(id) FROM batch"""


def copy_lines(apps, schema_editor):
    after = 0
    with schema_editor.connection.cursor() as cursor:
        while after is not None:
            cursor.execute(COPY, {"after": after})
            (after,) = cursor.fetchone()


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("deployments", "0009_log_partitions"),
    ]

    operations = [migrations.RunPython(copy_lines, migrations.RunPython.noop)]
