from django.db import migrations, models

# A former deployment had one replica for each generation: these become its revisions.
FORMER = """
UPDATE deployments_replica SET revision = generation;
UPDATE deployments_deployment SET revision = generation;
INSERT INTO deployments_revision (
    id, created_at, updated_at, deployment_id, number, kind, version_id, tag, size, digest, created_by_id, note, state, served_at,
    reason_code, reason_detail
)
SELECT gen_random_uuid(), r.created_at, r.created_at, r.deployment_id, r.generation, 'UPDATE', r.version_id,
    CASE WHEN v.number IS NULL THEN '' ELSE 'v' || v.number END, r.size, r.bundle, NULL, '',
    CASE WHEN r.ready_at IS NULL THEN 'SUPERSEDED' ELSE 'SERVED' END, r.ready_at, '', ''
FROM deployments_replica r LEFT JOIN projects_workflowversion v ON v.id = r.version_id;
INSERT INTO deployments_revision (
    id, created_at, updated_at, deployment_id, number, kind, version_id, tag, size, digest, created_by_id, note, state, served_at,
    reason_code, reason_detail
)
SELECT gen_random_uuid(), d.updated_at, d.updated_at, d.id, d.generation, 'UPDATE', d.wanted_version_id,
    CASE WHEN v.number IS NULL THEN '' ELSE 'v' || v.number END, d.size, '', NULL, '', 'PENDING', NULL, '', ''
FROM deployments_deployment d LEFT JOIN projects_workflowversion v ON v.id = d.wanted_version_id
WHERE NOT EXISTS (SELECT 1 FROM deployments_revision e WHERE e.deployment_id = d.id AND e.number = d.generation);
"""


class Migration(migrations.Migration):
    """Give former deployments their revisions."""

    dependencies = [("deployments", "0003_engine")]

    operations = [
        migrations.RunSQL(FORMER, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="replica",
            constraint=models.UniqueConstraint(fields=("deployment", "revision", "ordinal"), name="replica_ordinal_unique"),
        ),
    ]
