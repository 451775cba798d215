"""Reading and exporting the audit log."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from uuid import UUID

from django.db.models import QuerySet

from controlplane.audit.models import AuditEntry
from controlplane.audit.sealing import entry_content, spelled

CHUNK = 2000


def entries(chains: Collection[UUID] | None) -> QuerySet[AuditEntry]:
    """Return the lines of these chains (None: of all), newest first. Who may read which chains is the caller's to decide."""
    found = AuditEntry.objects.order_by("-at", "-sequence")
    return found if chains is None else found.filter(chain__in=list(chains))


def json_lines(queryset: QuerySet[AuditEntry]) -> Iterator[bytes]:
    """Yield one line of JSON for each entry, ordered by chain and sequence, reading through a server-side cursor in bounded memory."""
    for entry in queryset.order_by("chain", "sequence").iterator(chunk_size=CHUNK):
        yield spelled({**entry_content(entry), "digest": entry.digest}) + b"\n"
