"""Partition the runs by month. What is there stays one partition, up to the month that comes next, so that no row is copied."""

from datetime import UTC, datetime

from django.db import migrations

PARTITION = [
    "LOCK TABLE deployments_usageevent IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE deployments_usageevent RENAME TO deployments_usageevent_before",
    "ALTER INDEX deployments_usageevent_pkey RENAME TO deployments_usageevent_before_pkey",
    "ALTER INDEX usage_of_deployment RENAME TO usage_of_deployment_before",
    """
    CREATE TABLE deployments_usageevent (LIKE deployments_usageevent_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (run)""",
    "ALTER TABLE deployments_usageevent ADD CONSTRAINT deployments_usageevent_pkey PRIMARY KEY (run)",
    "CREATE INDEX usage_of_deployment ON deployments_usageevent (deployment_id, ended_at)",
    "CREATE TABLE deployments_usageevent_default PARTITION OF deployments_usageevent DEFAULT",
    # Ids without a time in them, which gateways once took from callers.
    """
    WITH moved AS (DELETE FROM deployments_usageevent_before WHERE run >= '{bound}' RETURNING *)
    INSERT INTO deployments_usageevent_default SELECT * FROM moved""",
    "ALTER TABLE deployments_usageevent ATTACH PARTITION deployments_usageevent_before FOR VALUES FROM (MINVALUE) TO ('{bound}')",
]
MERGE = [
    "LOCK TABLE deployments_usageevent IN ACCESS EXCLUSIVE MODE",
    "CREATE TABLE deployments_usageevent_whole (LIKE deployments_usageevent INCLUDING ALL)",
    "INSERT INTO deployments_usageevent_whole SELECT * FROM deployments_usageevent",
    "DROP TABLE deployments_usageevent",
    "ALTER TABLE deployments_usageevent_whole RENAME TO deployments_usageevent",
    "ALTER INDEX deployments_usageevent_whole_pkey RENAME TO deployments_usageevent_pkey",
    "ALTER INDEX deployments_usageevent_whole_deployment_id_ended_at_idx RENAME TO usage_of_deployment",
]


def partition(apps, schema_editor, today=None):
    today = today or datetime.now(UTC)
    month = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)
    digits = f"{int(month.timestamp()) * 1000:012x}"
    for statement in PARTITION:
        schema_editor.execute(statement.format(bound=f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"))


def merge(apps, schema_editor):
    for statement in MERGE:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0018_usage_has_one_index"),
    ]

    operations = [migrations.RunPython(partition, merge)]
