"""Each address in one account only, whatever its case."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_email_addresses")]

    operations = [
        migrations.RunSQL(
            "CREATE UNIQUE INDEX accounts_address_unique ON account_emailaddress (lower(email))",
            "DROP INDEX accounts_address_unique",
        ),
    ]
