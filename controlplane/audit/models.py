"""The log's lines and the end of each of its chains. docs/audit.md says what they protect against.

No foreign keys: the log outlives the users and objects that it names.
"""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db import models

from controlplane.common.ids import uuid7

# The chain of what belongs to no workspace: sign-ins, API tokens, operators' acts, and the opening of every other chain.
INSTALLATION = UUID(int=0)


class AuditEntry(models.Model):
    """One act. Rows are only ever added: PostgreSQL refuses UPDATE, DELETE and TRUNCATE (migration 0001).

    `chain` is a workspace's id (its organization's or person's) or `INSTALLATION`; `sequence` counts from 1 in each chain without gaps. `digest` is a
    MAC over all other fields, `previous` the digest of the line before it (empty in the first).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    chain = models.UUIDField()
    sequence = models.BigIntegerField()
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    actor_name = models.TextField(blank=True)
    action = models.TextField()
    kind = models.TextField()
    target = models.TextField()
    name = models.TextField(blank=True)
    address = models.TextField(blank=True)
    request_id = models.TextField(blank=True)
    credential = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)

    objects: ClassVar[models.Manager[AuditEntry]] = models.Manager()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        constraints = [models.UniqueConstraint(fields=["chain", "sequence"], name="audit_entry_place")]
        indexes = [
            models.Index(fields=["chain", "-at"], name="audit_entry_chain_at"),
            models.Index(fields=["-at"], name="audit_entry_at"),
        ]

    def __str__(self) -> str:
        return f"{self.chain} {self.sequence} {self.action}"


class AuditHead(models.Model):
    """The end of a chain: its last line, sealed by a MAC, so that lines missing at the end are found. Its row is the lock for appending."""

    chain = models.UUIDField(primary_key=True)
    sequence = models.BigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    seal = models.CharField(max_length=64)

    objects: ClassVar[models.Manager[AuditHead]] = models.Manager()

    class Meta:
        verbose_name = "audit head"

    def __str__(self) -> str:
        return f"{self.chain} {self.sequence}"
