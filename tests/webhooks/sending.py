"""Events to send, and one look at the outbox as a worker takes it."""

from __future__ import annotations

from django.db import transaction

from controlplane.projects.models import Project
from controlplane.webhooks.claims import claim_turns
from controlplane.webhooks.delivery import deliver_turn
from controlplane.webhooks.outbox import emit_event


def happen(project: Project, count: int = 1, *, event: str = "run.failed") -> None:
    """Let something happen in a project."""
    with transaction.atomic():
        for number in range(count):
            emit_event(project_id=project.pk, type=event, subject=f"subject {number}", data={"number": number})


def deliver() -> int:
    """Send what is due as one worker would, until nothing is; return how many arrived."""
    total = 0
    while turns := claim_turns(quick=8, slow=8):
        total += sum(deliver_turn(turn) for turn in turns)
    return total
