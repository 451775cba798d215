from django.db import migrations, models


class Migration(migrations.Migration):
    """Remember which revision takes the traffic, also while no replica runs."""

    dependencies = [("deployments", "0004_revisions")]

    operations = [
        migrations.AddField(model_name="deployment", name="served_revision", field=models.PositiveIntegerField(default=0)),
        migrations.RunSQL(
            """
            UPDATE deployments_deployment SET served_revision = replica.revision
            FROM deployments_replica replica WHERE replica.deployment_id = deployments_deployment.id AND replica.status = 'SERVING'
            """,
            migrations.RunSQL.noop,
        ),
    ]
