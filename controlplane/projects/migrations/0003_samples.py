"""Tell what came with a sign-up from what somebody made: additive, the services before write rows without it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0002_algorithms"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="sample",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="workflow",
            name="sample",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
