"""Walking the log: every line against its MAC and the one before it, every chain against its sealed end.

Lines may be appended meanwhile: the end of a chain is read before its lines, and again when there are more of them than it says.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast

from controlplane.audit.models import INSTALLATION, AuditEntry, AuditHead
from controlplane.audit.sealing import entry_digest, is_sealed
from controlplane.audit.selectors import CHUNK
from controlplane.audit.services import OPENING


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and where: a line of a chain, or its end (`sequence` of the last line there should be)."""

    chain: UUID
    sequence: int
    what: str

    def __str__(self) -> str:
        chain = "installation" if self.chain == INSTALLATION else self.chain
        return f"chain {chain} line {self.sequence}: {self.what}"


@dataclass(slots=True)
class Walk:
    """How far a walk through one chain has come. `accepted`: the digests that the next line may name as the one before it."""

    chain: UUID
    sequence: int = 0
    accepted: frozenset[str] = frozenset([""])

    def step(self, entry: AuditEntry) -> Iterator[Fault]:
        """Yield what is wrong with the next line."""
        follows = entry.sequence == self.sequence + 1
        if entry.sequence < 1:
            yield Fault(self.chain, entry.sequence, "out of order: lines count from 1")
            return
        if not follows:
            lost = entry.sequence - self.sequence - 1
            yield Fault(self.chain, self.sequence + 1, f"missing: {lost} line{'s' * (lost > 1)} before line {entry.sequence}")
        expected = entry_digest(entry)
        if entry.digest != expected:
            yield Fault(self.chain, entry.sequence, "changed: it does not fit its digest")
        elif follows and entry.previous not in self.accepted:
            yield Fault(self.chain, entry.sequence, "out of order: it was written after another line than the one before it")
        self.sequence = entry.sequence
        # A line whose digest alone was changed is one fault, not two.
        self.accepted = frozenset([entry.digest, expected])


class Verification:
    """One look at the log. `entries` and `chains` count what was walked."""

    def __init__(self) -> None:
        self.entries = 0
        self.chains = 0

    def faults(self, chain: UUID | None = None) -> Iterator[Fault]:
        """Yield every fault of one chain, or of all; memory does not grow with the log."""
        if chain is not None:
            yield from self._walk(chain)
            yield from never_opened(AuditHead.objects.filter(chain=chain))
            return
        known = AuditEntry.objects.order_by().values_list("chain").union(AuditHead.objects.values_list("chain")).order_by("chain")
        for (found,) in known.iterator(chunk_size=CHUNK):
            yield from self._walk(found)
        yield from never_opened(AuditHead.objects.all())
        yield from vanished()

    def _walk(self, chain: UUID) -> Iterator[Fault]:
        head = AuditHead.objects.filter(chain=chain).first()
        if head is None:
            yield Fault(chain, 0, "head: there is none")
        elif not is_sealed(head):
            yield Fault(chain, head.sequence, "head: it does not fit its seal")
        walk = Walk(chain)
        self.chains += 1
        for entry in AuditEntry.objects.filter(chain=chain).order_by("sequence").iterator(chunk_size=CHUNK):
            self.entries += 1
            yield from walk.step(entry)
            if head is not None and entry.sequence == head.sequence and head.digest not in walk.accepted:
                yield Fault(chain, entry.sequence, "head: it names another last line")
        if head is not None:
            yield from check_end(head, walk.sequence)


def check_end(head: AuditHead, last: int) -> Iterator[Fault]:
    """Yield what is wrong between the end of a chain and the last of its lines."""
    if last < head.sequence:
        lost = head.sequence - last
        yield Fault(head.chain, last + 1, f"missing: {lost} line{'s' * (lost > 1)} at the end")
    elif last > head.sequence:
        now = AuditHead.objects.filter(chain=head.chain).first()
        if now is None or now.sequence < last:
            yield Fault(head.chain, last, "head: it does not reach this line")


def never_opened(heads: QuerySet[AuditHead]) -> Iterator[Fault]:
    """Yield chains whose opening the installation's chain does not tell of."""
    opening = AuditEntry.objects.filter(chain=INSTALLATION, action=OPENING, target=Cast(OuterRef("chain"), TextField()))
    for head in heads.exclude(chain=INSTALLATION).exclude(Exists(opening)).order_by("chain").iterator(chunk_size=CHUNK):
        yield Fault(head.chain, 0, "head: the installation's chain does not tell of its opening")


def vanished() -> Iterator[Fault]:
    """Yield the openings of chains that are not there any more."""
    heads = AuditHead.objects.annotate(text=Cast("chain", TextField())).filter(text=OuterRef("target"))
    openings = AuditEntry.objects.filter(chain=INSTALLATION, action=OPENING)
    for entry in openings.exclude(Exists(heads)).order_by("sequence").iterator(chunk_size=CHUNK):
        yield Fault(INSTALLATION, entry.sequence, f"missing: the whole chain {entry.target}, whose opening this is")


def differences(lines: Iterable[bytes]) -> Iterator[Fault]:
    """Yield the lines of an earlier export (`selectors.json_lines`) that the log does not have, or has with another content.

    This finds what a restored older state of both tables hides from the rest. Raises ValueError for what is no export.
    """
    numbered = iter(lines)
    while batch := [json.loads(line) for line in itertools.islice(numbered, CHUNK)]:
        ids = [UUID(line["id"]) for line in batch]
        kept = {str(pk): digest for pk, digest in AuditEntry.objects.filter(pk__in=ids).values_list("pk", "digest")}
        for line in batch:
            if line["id"] not in kept:
                yield Fault(UUID(line["chain"]), int(line["sequence"]), "missing: the export has it")
            elif kept[line["id"]] != line["digest"]:
                yield Fault(UUID(line["chain"]), int(line["sequence"]), "changed: the export has another")
