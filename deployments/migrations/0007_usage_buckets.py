import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0006_build"),
    ]

    operations = [
        migrations.AddField(
            model_name="usageevent",
            name="fault",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="usageevent",
            name="revision",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.CreateModel(
            name="UsageBucket",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "deployment_id",
                        "grain",
                        "start",
                        "product",
                        "project_id",
                        "namespace_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("grain", models.CharField(choices=[("minute", "Minute"), ("hour", "Hour"), ("day", "Day")], max_length=6)),
                ("start", models.DateTimeField()),
                ("product", models.CharField(max_length=60)),
                ("project_id", models.UUIDField()),
                ("namespace_id", models.UUIDField()),
                ("hits", models.PositiveBigIntegerField()),
                ("failures", models.PositiveBigIntegerField()),
                ("duration_ms", models.PositiveBigIntegerField()),
                ("micro_credits", models.PositiveBigIntegerField()),
                (
                    "deployment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="usage_buckets",
                        to="deployments.deployment",
                    ),
                ),
            ],
            options={
                "verbose_name": "usage bucket",
                "indexes": [
                    models.Index(fields=["project_id", "grain", "start"], name="usage_of_project"),
                    models.Index(fields=["namespace_id", "grain", "start"], name="usage_of_namespace"),
                ],
            },
        ),
    ]
