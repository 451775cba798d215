"""Appending to the audit log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction

from controlplane.audit.models import INSTALLATION, AuditEntry, AuditHead
from controlplane.audit.origin import current_origin
from controlplane.audit.sealing import BROKEN, entry_digest, head_seal, is_sealed
from controlplane.common.clock import now

logger = logging.getLogger(__name__)

# Each workspace's first line is preceded by one of these in the installation's chain, so that a chain that vanishes as a whole is missed.
OPENING = "audit.open"


class Actor(Protocol):
    """Who acts: a user of the accounts room, which this room does not know."""

    @property
    def pk(self) -> Any:
        """The user's id; None for nobody."""

    @property
    def username(self) -> str:
        """The name at the time of the act, which the log keeps."""


def record(
    *,
    actor: Actor | None,
    action: str,
    kind: str,
    target: UUID | str,
    name: str,
    chain: UUID | None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write that `actor` (None: the service itself) did `action` ("project.create") to the object `target` of `kind` ("project").

    Call it inside the transaction of the change, last in it: the chain is locked from here to the commit, and a change that is undone leaves
    no line. `name` is the object's path at that time; `chain` the workspace's id (its organization's or person's), None for what belongs to none. A
    transaction that writes to several chains begins with None and goes on in ascending order, or two of them may wait for each other.
    `details` are JSON: no secrets; numbers with a fraction, dates and ids become text.
    """
    entry = AuditEntry(
        actor_id=actor.pk if actor else None,
        actor_name=storable(actor.username) if actor else "",
        action=action,
        kind=kind,
        target=storable(str(target)),
        name=storable(name),
        details=storable_json(details or {}),
    )
    with transaction.atomic():
        append(locked_head(INSTALLATION if chain is None else chain), entry)


def locked_head(chain: UUID) -> AuditHead:
    """Return the end of a chain, locked until the transaction ends; a new chain is opened."""
    return find_locked_head(chain) or open_chain(chain)


def find_locked_head(chain: UUID) -> AuditHead | None:
    """Return the end of a chain, locked, or None when there is no such chain yet."""
    return AuditHead.objects.select_for_update(no_key=True).filter(chain=chain).first()


def open_chain(chain: UUID) -> AuditHead:
    """Begin a chain, once: whoever else would open one waits for the installation's chain."""
    fresh = AuditHead(chain=chain, sequence=0, digest="")
    fresh.seal = head_seal(fresh)
    if chain == INSTALLATION:
        AuditHead.objects.bulk_create([fresh], ignore_conflicts=True)
        return locked_head(chain)
    installation = locked_head(INSTALLATION)
    if (opened := find_locked_head(chain)) is not None:
        return opened
    append(installation, AuditEntry(action=OPENING, kind="chain", target=str(chain), details={}))
    fresh.save(force_insert=True)
    return fresh


def append(head: AuditHead, entry: AuditEntry) -> None:
    """Write a line behind the end of its chain, and move the end. A head that does not fit its seal keeps a seal that never will."""
    origin = current_origin()
    entry.address, entry.request_id, entry.credential = map(storable, (origin.address, origin.request_id, origin.credential))
    entry.chain, entry.sequence, entry.previous = head.chain, head.sequence + 1, head.digest
    entry.at = now()
    entry.digest = entry_digest(entry)
    entry.save(force_insert=True)
    whole = is_sealed(head)
    if not whole:
        logger.error("the end of audit chain %s was changed by someone else: run manage.py audit_verify", head.chain)
    head.sequence, head.digest = entry.sequence, entry.digest
    head.seal = head_seal(head) if whole else BROKEN
    head.save(force_update=True)


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot keep: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def storable_json(value: Any) -> Any:
    """Return JSON that reads the same after PostgreSQL, which spells some fractions differently: those, and what is no JSON, become text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): storable_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        inner = [storable_json(each) for each in value]
        return inner if isinstance(value, list | tuple) else sorted(inner, key=str)
    return storable(str(value))
