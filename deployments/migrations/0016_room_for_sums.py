"""Room on the pages of the sums of usage: every batch of runs adds to the same rows, which then changes no index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("deployments", "0015_meter_silent")]
    operations = [
        migrations.RunSQL(
            "ALTER TABLE deployments_usagebucket SET (fillfactor = 80)", "ALTER TABLE deployments_usagebucket RESET (fillfactor)"
        )
    ]
