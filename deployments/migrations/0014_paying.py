"""Whose workspace pays for a deployment, and what stops it. Deployments whose namespace is gone are over, and keep its id."""

from django.db import migrations, models

FILL = """
UPDATE deployments_deployment SET workspace_id = COALESCE(
    (SELECT COALESCE(organization_id, owner_id) FROM workspaces_namespace WHERE workspaces_namespace.id = namespace_id), namespace_id)
WHERE workspace_id IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("deployments", "0013_builders"), ("billing", "0002_append_only"), ("workspaces", "0002_organizations")]
    operations = [
        migrations.AddField("deployment", "workspace_id", models.UUIDField(null=True)),
        migrations.AddField("deployment", "stop_code", models.CharField(max_length=20, blank=True, default="", db_default="")),
        migrations.AddField("deployment", "stop_detail", models.TextField(blank=True, default="", db_default="")),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField("deployment", "workspace_id", models.UUIDField(db_index=True)),
    ]
