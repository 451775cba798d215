"""Every address in lower case, and with a row of its own."""

from django.db import migrations
from django.db.models.functions import Lower

BATCH = 1000


def keep_addresses(apps, schema_editor):
    """Give each user who was there before addresses had rows their one, in batches."""
    users, addresses = apps.get_model("accounts", "User"), apps.get_model("account", "EmailAddress")
    users.objects.exclude(email=Lower("email")).update(email=Lower("email"))
    without = users.objects.filter(emailaddress=None).exclude(email="").order_by("pk")
    while batch := list(without[:BATCH]):
        addresses.objects.bulk_create(addresses(user=user, email=user.email, primary=True) for user in batch)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_revocation"),
        ("account", "0009_emailaddress_unique_primary_email"),
    ]

    operations = [migrations.RunPython(keep_addresses, migrations.RunPython.noop, elidable=True)]
