"""Have charges in an index of their own, made while the ledger is written to."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("billing", "0008_key_has_one_index"),
    ]

    operations = [
        AddIndexConcurrently(
            "ledgerentry",
            models.Index(condition=models.Q(("kind", "CHARGE")), fields=["wallet", "booked_at", "id"], name="charge_of_wallet"),
        ),
        RemoveIndexConcurrently("ledgerentry", "entry_of_wallet"),
    ]
