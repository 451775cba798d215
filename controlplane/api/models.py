"""What the plumbing keeps: the keys under which callers may send a request twice."""

from __future__ import annotations

from django.db import models

from controlplane.common.models import BaseModel


class KeyState(models.TextChoices):
    """How far the request of a key has come."""

    WORKING = "working"
    DONE = "done"


class IdempotencyKey(BaseModel):
    """One `Idempotency-Key` of one caller for one method and path. Neither the key nor the reply is readable from here.

    `digest` names caller, method, path and key; `fingerprint` is of the request without a streamed body, `body_fingerprint` and `body_bytes` of
    such a body, once it was read. `owner` may write until `leased_until`; `reply` is encrypted (`idempotency.sealing`), None when it was too large.
    """

    digest = models.CharField(max_length=64, unique=True)
    fingerprint = models.CharField(max_length=64)
    body_fingerprint = models.CharField(max_length=64, blank=True, default="")
    body_bytes = models.BigIntegerField(default=0)
    state = models.CharField(max_length=10, choices=KeyState.choices, default=KeyState.WORKING)
    owner = models.UUIDField()
    leased_until = models.DateTimeField()
    reply = models.BinaryField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        verbose_name = "idempotency key"
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry")]

    def __str__(self) -> str:
        return f"{self.digest[:12]} ({self.state})"
