"""An index of the entries that are no charges."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0004_notice_tries")]
    operations = [
        AddIndexConcurrently(
            "ledgerentry",
            models.Index(fields=["wallet", "booked_at", "id"], name="entry_beside_charges", condition=~models.Q(kind="CHARGE")),
        ),
    ]
