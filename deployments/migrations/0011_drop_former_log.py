"""Drop the former table of log lines. Processes of the former version that still write there fail, and what they fetched is fetched again."""

from importlib import import_module

from django.db import migrations

copy_log = import_module("deployments.migrations.0010_copy_log")


def copy_the_rest(apps, schema_editor):
    """Copy what was written since the migration before, which is little: whoever writes waits meanwhile."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("LOCK TABLE deployments_logline IN EXCLUSIVE MODE")
        after, last = copy_log.reached(cursor), copy_log.last_id(cursor)
        copy_log.make_days(cursor, after, last)
        copy_log.copy(cursor, after, last)


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0010_copy_log"),
    ]

    operations = [
        migrations.RunPython(copy_the_rest, migrations.RunPython.noop),
        migrations.RunSQL("DROP TABLE deployments_logline", migrations.RunSQL.noop),
    ]
