"""Published packages keep the number of the upload that they were made from, which orders them."""

from django.db import migrations, models

# Rows of published packages are frozen; what is filled in here was always so. Uploads that are gone leave the order of publication.
FILL = """
ALTER TABLE hub_hubpackage DISABLE TRIGGER hub_package_frozen;
UPDATE hub_hubpackage AS published SET number = ordered.number
FROM (
  SELECT mine.id, COALESCE(upload.number, row_number() OVER (PARTITION BY mine.version_id ORDER BY mine.id)) AS number
  FROM hub_hubpackage AS mine LEFT JOIN hub_package AS upload ON upload.key = mine.key
) AS ordered
WHERE ordered.id = published.id;
ALTER TABLE hub_hubpackage ENABLE TRIGGER hub_package_frozen;
"""


class Migration(migrations.Migration):
    dependencies = [("hub", "0001_initial")]

    operations = [
        migrations.AddField(model_name="hubpackage", name="number", field=models.PositiveIntegerField(default=0), preserve_default=False),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
