"""Taking back endpoint tokens before they expire: rows here are the truth, a sorted set in Valkey is what gateways read.

Gateways look twice a second. The set is written at the commit, and made whole again by a worker every two seconds (`tasks`), so that neither
a Valkey that was away at that moment nor one that lost its data keeps a token alive.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from uuid import UUID

import redis
from django.db import transaction
from django.db.models import Max

from controlplane.accounts.keys import TOKEN_LIFE
from controlplane.accounts.models import Revocation
from controlplane.common.clock import milliseconds, now
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey

logger = logging.getLogger(__name__)

KEY, VERSION_KEY = "sw:revocations", "sw:revocations:version"
KEPT = TOKEN_LIFE + timedelta(hours=1)
# A request may have been allowed a moment before a revocation and sign its token a moment after, by another machine's clock.
MARGIN = timedelta(seconds=2)
BATCH = 500

# KEYS: set, version. ARGV: new version, then score and member by turns. A later moment stands; gateways read the set when the version changes.
ADD = """
local added = redis.call('ZADD', KEYS[1], 'GT', 'CH', unpack(ARGV, 2))
if added > 0 then redis.call('SET', KEYS[2], ARGV[1]) end
return added
"""


def revoke_endpoint_access(*, user_id: UUID, project_ids: Iterable[UUID]) -> None:
    """Void the user's endpoint tokens for these projects. Tokens made later than two seconds from now are good again.

    Call it in the transaction that takes the access away; it takes effect everywhere within a second of the commit.
    """
    revoke(f"u/{user_id}/p/{project_id}" for project_id in project_ids)


def revoke_all_endpoint_access(*, user_id: UUID) -> None:
    """Void all endpoint tokens of the user, as `revoke_endpoint_access` does for some."""
    revoke([f"u/{user_id}"])


def revoke_issued_by(*, token_id: UUID) -> None:
    """Void all endpoint tokens that were got with this API token."""
    revoke([f"t/{token_id}"])


def revoke(subjects: Iterable[str]) -> None:
    """Write rows in the present transaction and publish them when it commits. The moment counts from the commit, however long that takes."""
    moment = now() + MARGIN
    rows = [Revocation(subject=subject, at=moment, expires_at=moment + KEPT) for subject in subjects]
    if not rows:
        return
    Revocation.objects.bulk_create(rows, batch_size=BATCH)

    def publish() -> None:
        committed = now() + MARGIN
        Revocation.objects.filter(pk__in=[row.pk for row in rows], at__lt=committed).update(at=committed, expires_at=committed + KEPT)
        try:
            add_to_set((row.subject, milliseconds(committed)) for row in rows)
        except redis.RedisError as error:
            logger.warning("revocations not published, a worker does it within two seconds: %s", error)

    # A named function: Django logs a robust hook that fails by its __qualname__.
    transaction.on_commit(publish, robust=True)


def add_to_set(revoked: Iterable[tuple[str, int]]) -> int:
    """Write (subject, milliseconds) into the set and return how many were new there. Raises `redis.RedisError`."""
    pairs = iter(revoked)
    added = 0
    while batch := list(itertools.islice(pairs, BATCH)):
        words = [str(word) for subject, moment in batch for word in (moment, subject)]
        added += int(valkey().eval(ADD, 2, KEY, VERSION_KEY, str(uuid7()), *words))
    return added


def live_revocations() -> Iterator[tuple[str, int]]:
    """Yield (subject, milliseconds) of all rows that may still void a token, one for each subject."""
    rows = Revocation.objects.filter(expires_at__gt=now()).order_by().values_list("subject").annotate(Max("at"))
    for subject, at in rows.iterator(chunk_size=BATCH):
        yield subject, milliseconds(at)


def restore_set() -> int:
    """Make the set whole after Valkey lost it, and sweep what has expired from it and from the table. Raises `redis.RedisError`.

    Returns how many members were missing. What is in the set but not in the table stays until it expires: its transaction may have
    committed after the table was read.
    """
    added = add_to_set(live_revocations())
    valkey().zremrangebyscore(KEY, "-inf", milliseconds(now() - KEPT))
    Revocation.objects.filter(expires_at__lte=now()).delete()
    return added
