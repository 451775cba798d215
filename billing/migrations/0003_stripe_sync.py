"""How a wallet follows Stripe, and one more kind of notice."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_append_only"),
    ]

    operations = [
        migrations.CreateModel(
            name="StripeSync",
            fields=[
                (
                    "wallet",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="stripe_sync",
                        serialize=False,
                        to="billing.wallet",
                    ),
                ),
                ("asked", models.BigIntegerField(db_default=0, default=0)),
                ("applied", models.BigIntegerField(db_default=0, default=0)),
                ("declines", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={"verbose_name": "way of a wallet with Stripe"},
        ),
        migrations.AlterField(
            model_name="notice",
            name="kind",
            field=models.CharField(
                choices=[
                    ("LOW", "Low"),
                    ("EMPTY", "Empty"),
                    ("SUSPENDED", "Suspended"),
                    ("CAP", "Cap"),
                    ("PAYMENT_FAILED", "Payment Failed"),
                    ("DOUBLE_PAID", "Double Paid"),
                ],
                max_length=16,
            ),
        ),
    ]
