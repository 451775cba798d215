"""The life of a key in the database: claimed before the work, kept alive by its owner, done with a reply, or given up.

An owner that dies is followed by another after LEASE; one that only slept finds that its key is not its own any more, and keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controlplane.api.idempotency.asking import Asked
from controlplane.api.idempotency.errors import key_reused, still_working
from controlplane.api.models import IdempotencyKey, KeyState
from controlplane.common import clock
from controlplane.common.ids import uuid7

LIFE = timedelta(hours=24)
LEASE = timedelta(seconds=30)
TRIES = 3
SWEPT_TOGETHER = 1000


@dataclass(frozen=True)
class Claim:
    """A key's row. `is_new`: the caller works, and owns the row meanwhile; else the work is done and the row has the reply."""

    row: IdempotencyKey
    is_new: bool


def claim_key(asked: Asked) -> Claim:
    """Claim a key, or find what came of it. Call it outside of transactions: others must see the claim.

    Raises `Unprocessable` for other parameters, `StillWorking` while somebody else works.
    """
    for _ in range(TRIES):
        moment = clock.now()
        fresh = IdempotencyKey(digest=asked.digest, **fields_of_claim(asked, moment))
        IdempotencyKey.objects.bulk_create([fresh], ignore_conflicts=True)
        row = IdempotencyKey.objects.filter(digest=asked.digest).first()
        if row is None:
            continue  # its owner gave it up a moment ago
        if row.owner == fresh.owner:
            return Claim(row, is_new=True)
        if row.expires_at > moment:
            if row.fingerprint != asked.fingerprint:
                raise key_reused()
            if row.state == KeyState.DONE:
                return Claim(row, is_new=False)
            if row.leased_until > moment:
                raise still_working()
        if take_over(row, asked, moment):
            return Claim(row, is_new=True)
    raise still_working()


def fields_of_claim(asked: Asked, moment: datetime) -> dict[str, Any]:
    """Return the fields of a row that somebody begins to work under."""
    return {
        "fingerprint": asked.fingerprint,
        "body_fingerprint": "",
        "body_bytes": 0,
        "state": KeyState.WORKING,
        "owner": uuid7(),
        "leased_until": moment + LEASE,
        "reply": None,
        "expires_at": moment + LIFE,
    }


def take_over(row: IdempotencyKey, asked: Asked, moment: datetime) -> bool:
    """Make a row that expired, or whose owner died, one's own; False when another request was faster."""
    fields = fields_of_claim(asked, moment)
    held = IdempotencyKey.objects.filter(pk=row.pk, owner=row.owner, state=row.state, leased_until=row.leased_until)
    if not held.update(**fields, updated_at=moment):
        return False
    for name, value in fields.items():
        setattr(row, name, value)
    return True


def renew(row: IdempotencyKey) -> bool:
    """Say that the owner lives; False when the row is not its own any more."""
    moment = clock.now()
    return bool(own(row).update(leased_until=moment + LEASE, expires_at=moment + LIFE, updated_at=moment))


def keep_reply(row: IdempotencyKey, sealed: bytes | None, *, body_fingerprint: str = "", body_bytes: int = 0) -> bool:
    """Write what came of it, for LIFE from now; False when the row is not the owner's any more."""
    moment = clock.now()
    fields = {"reply": sealed, "body_fingerprint": body_fingerprint, "body_bytes": body_bytes}
    return bool(own(row).update(state=KeyState.DONE, expires_at=moment + LIFE, updated_at=moment, **fields))


def give_up(row: IdempotencyKey) -> None:
    """Forget a claim under which nothing was done: the next try is looked at anew."""
    own(row).delete()


def own(row: IdempotencyKey) -> Any:
    """Return the row as long as it is its owner's."""
    return IdempotencyKey.objects.filter(pk=row.pk, owner=row.owner, state=KeyState.WORKING)


def sweep_keys() -> int:
    """Delete what has expired, SWEPT_TOGETHER rows in each transaction; returns how many."""
    count = 0
    while True:
        expired = IdempotencyKey.objects.filter(expires_at__lte=clock.now()).order_by("expires_at").values_list("pk", flat=True)
        gone, _ = IdempotencyKey.objects.filter(pk__in=list(expired[:SWEPT_TOGETHER]), expires_at__lte=clock.now()).delete()
        count += gone
        if gone < SWEPT_TOGETHER:
            return count
