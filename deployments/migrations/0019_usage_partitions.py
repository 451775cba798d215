"""Partition the runs by month. What is there becomes the default partition, so that nothing is copied; a month's rows move when its partition is made."""

from django.db import migrations

PARTITION = [
    "ALTER TABLE deployments_usageevent RENAME TO deployments_usageevent_default",
    "ALTER INDEX deployments_usageevent_pkey RENAME TO deployments_usageevent_default_pkey",
    "ALTER INDEX usage_of_deployment RENAME TO usage_of_deployment_default",
    """
    CREATE TABLE deployments_usageevent (LIKE deployments_usageevent_default INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (run)""",
    "ALTER TABLE deployments_usageevent ADD CONSTRAINT deployments_usageevent_pkey PRIMARY KEY (run)",
    "CREATE INDEX usage_of_deployment ON deployments_usageevent (deployment_id, ended_at)",
    "ALTER TABLE deployments_usageevent ATTACH PARTITION deployments_usageevent_default DEFAULT",
]
# Months that have a partition by now would have to move back.
MERGE = [
    "CREATE TABLE deployments_usageevent_whole (LIKE deployments_usageevent INCLUDING ALL)",
    "INSERT INTO deployments_usageevent_whole SELECT * FROM deployments_usageevent",
    "DROP TABLE deployments_usageevent",
    "ALTER TABLE deployments_usageevent_whole RENAME TO deployments_usageevent",
    "ALTER INDEX deployments_usageevent_whole_pkey RENAME TO deployments_usageevent_pkey",
    "ALTER INDEX deployments_usageevent_whole_deployment_id_ended_at_idx RENAME TO usage_of_deployment",
]


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0018_usage_has_one_index"),
    ]

    operations = [migrations.RunSQL(PARTITION, MERGE)]
