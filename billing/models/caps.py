"""Limits that users set on what they spend, and what they are told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q, Value

from billing.models.wallet import Wallet
from billing.querysets import SpendCapQuerySet
from controlplane.common.models import BaseModel


class CapPeriod(models.TextChoices):
    """What a cap counts: the calendar month of UTC, or all that was ever spent."""

    MONTH = "MONTH"
    TOTAL = "TOTAL"


class SpendCap(BaseModel):
    """The most micro-credits that a deployment (or, without one, the workspace) may be charged. At 100 % it takes no more runs, and its instances go.

    `told` is the largest share whose mail was sent in `told_for` (the first day of the month, None for a total); `reached_at` while it is reached.
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="caps", db_index=False)
    deployment_id = models.UUIDField(null=True)
    period = models.CharField(max_length=5, choices=CapPeriod)
    amount = models.BigIntegerField()
    told = models.PositiveSmallIntegerField(default=0)
    told_for = models.DateField(null=True)
    reached_at = models.DateTimeField(null=True)

    objects = SpendCapQuerySet.as_manager()

    class Meta:
        verbose_name = "spend cap"
        constraints = [
            models.UniqueConstraint(fields=["wallet", "deployment_id", "period"], nulls_distinct=False, name="cap_unique"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="cap_positive"),
            models.CheckConstraint(condition=Q(period__in=CapPeriod.values), name="cap_period_known"),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """Return what the audit log calls it."""
        return f"{self.period} {self.deployment_id or 'workspace'}"


class NoticeKind(models.TextChoices):
    """What people are told about."""

    LOW = "LOW"
    EMPTY = "EMPTY"
    SUSPENDED = "SUSPENDED"
    CAP = "CAP"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    DOUBLE_PAID = "DOUBLE_PAID"


class Notice(BaseModel):
    """A mail that the people who pay get once (`key`): written in the transaction of what happened, mailed afterwards.

    `mailed_to` are the ids of the people who have it already, `attempts` how often a mail server was asked, `next_try_at` when it is next (None:
    at once). `mailed_at` says that nothing is left to do.
    """

    wallet = models.ForeignKey(Wallet, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=16, choices=NoticeKind)
    key = models.CharField(max_length=200, unique=True)
    deployment_id = models.UUIDField(null=True)
    subject = models.CharField(max_length=200)
    detail = models.TextField()
    mailed_at = models.DateTimeField(null=True)
    mailed_to = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    next_try_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "notice"
        indexes = [models.Index(fields=["id"], name="notice_to_mail", condition=Q(mailed_at=None))]

    def __str__(self) -> str:
        return self.subject
