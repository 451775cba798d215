"""Add up the runs that were counted before there were sums, a day at a time."""

from django.db import migrations

DAYS = "SELECT DISTINCT date_trunc('day', ended_at, 'UTC') FROM deployments_usageevent ORDER BY 1"
SUM_DAY = """
    INSERT INTO deployments_usagebucket
        (deployment_id, grain, start, product, project_id, namespace_id, hits, failures, duration_ms, micro_credits)
    SELECT deployment_id, grain, date_trunc(grain, ended_at, 'UTC'), product, project_id, namespace_id,
           count(*), count(*) FILTER (WHERE state <> 'SUCCESS'), sum(duration_ms), sum(micro_credits)
    FROM deployments_usageevent CROSS JOIN (VALUES ('minute'), ('hour'), ('day')) AS grains (grain)
    WHERE ended_at >= %(day)s AND ended_at < %(day)s + interval '24 hours'
    GROUP BY 1, 2, 3, 4, 5, 6
    ON CONFLICT DO NOTHING"""


def add_up(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(DAYS)
        for (day,) in cursor.fetchall():
            cursor.execute(SUM_DAY, {"day": day})


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("deployments", "0007_usage_buckets"),
    ]

    operations = [migrations.RunPython(add_up, migrations.RunPython.noop, elidable=True)]
