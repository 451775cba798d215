"""A table of log lines that is partitioned by day: a day goes by dropping its partition."""

import django.db.models.deletion
from django.db import migrations, models

CREATE = [
    """
    CREATE TABLE deployments_log (
        deployment_id uuid NOT NULL,
        "timestamp" bigint NOT NULL,
        level varchar(10) NOT NULL,
        source varchar(10) NOT NULL,
        message text NOT NULL,
        run uuid,
        duration_ms double precision,
        PRIMARY KEY (deployment_id, "timestamp")
    ) PARTITION BY RANGE ("timestamp")""",
    """CREATE INDEX log_not_info ON deployments_log (deployment_id, "timestamp") WHERE level <> 'INFO'""",
    """CREATE INDEX log_of_build ON deployments_log (deployment_id, "timestamp") WHERE source = 'build'""",
    """CREATE INDEX log_of_run ON deployments_log (deployment_id, run, "timestamp") WHERE run IS NOT NULL""",
    "CREATE TABLE deployments_log_default PARTITION OF deployments_log DEFAULT",
]


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0008_sum_usage"),
    ]

    operations = [
        *(
            migrations.AddField(
                model_name="loghead",
                name=name,
                field=models.BigIntegerField(db_default=0, default=0),
            )
            for name in ("minute", "minute_lines", "minute_bytes", "skipped_lines")
        ),
        migrations.AddIndex(
            model_name="loghead",
            index=models.Index(condition=models.Q(("skipped_lines__gt", 0)), fields=["minute"], name="log_head_skipping"),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel(name="LogLine"),
                migrations.CreateModel(
                    name="LogLine",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "deployment_id", "timestamp", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("timestamp", models.BigIntegerField()),
                        ("level", models.CharField(max_length=10)),
                        ("source", models.CharField(max_length=10)),
                        ("message", models.TextField()),
                        ("run", models.UUIDField(null=True)),
                        ("duration_ms", models.FloatField(null=True)),
                        (
                            "deployment",
                            models.ForeignKey(
                                db_constraint=False,
                                db_index=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="log_lines",
                                to="deployments.deployment",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "log line",
                        "db_table": "deployments_log",
                        "indexes": [
                            models.Index(
                                fields=["deployment", "timestamp"],
                                name="log_not_info",
                                condition=models.Q(("level", "INFO"), _negated=True),
                            ),
                            models.Index(fields=["deployment", "timestamp"], name="log_of_build", condition=models.Q(("source", "build"))),
                            models.Index(
                                fields=["deployment", "run", "timestamp"],
                                name="log_of_run",
                                condition=models.Q(("run__isnull", False)),
                            ),
                        ],
                    },
                ),
            ],
            database_operations=[
                migrations.RunSQL(CREATE, "DROP TABLE deployments_log"),
            ],
        ),
    ]
