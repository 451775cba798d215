"""Events that fail again and again: what operators are told of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, F, Func, Min, Q, TextField, Value

from billing.models import StripeEvent
from controlplane.common import clock

# Six tries take a quarter of an hour; one that never ended is not counted.
MOST_TRIES = 6
LONGEST = timedelta(hours=1)
UNFINISHED = "unfinished"
ADVICE = {
    "payments_unavailable": "Stripe does not answer the workers: see whether it says so itself, and whether they reach its API.",
    "NotConfigured": "The workers have no STRIPE_SECRET_KEY: set it for them as for the web process, and restart them.",
    "WrongAccount": "STRIPE_SECRET_KEY is of another account than the customers: set the key of their account.",
    UNFINISHED: "A worker begins and never ends it, or none begins: see in the worker's log whether it is killed.",
}
USUAL_ADVICE = "The worker's log says what stands in the way, with the stack where it was not foreseen."


@dataclass(frozen=True, slots=True)
class Failure:
    """Events that fail for one reason: its name, and what operators are to know of the oldest one and to do."""

    reason: str
    detail: str


def failing_events() -> list[Failure]:
    """Return why events wait that were tried often, or that came more than an hour ago; each reason once."""
    late = Q(attempts__gte=MOST_TRIES) | Q(received_at__lte=clock.now() - LONGEST)
    # The kind of the last error is the same for all events that it stops.
    rows = StripeEvent.objects.filter(late, done_at=None).annotate(
        kind=Func(F("error"), Value(":"), Value(1), function="split_part", output_field=TextField())
    )
    kinds = rows.values_list("kind").annotate(number=Count("pk"), since=Min("received_at")).order_by("since", "kind")
    return [
        Failure(kind or UNFINISHED, told(kind or UNFINISHED, rows.filter(kind=kind).order_by("received_at", "pk")[0], number - 1))
        for kind, number, _ in kinds
    ]


def told(reason: str, first: StripeEvent, more: int) -> str:
    """Return which event it is, how many more there are, what is wrong and what to do, in sentences."""
    others = f", and {more} more," if more else ""
    error = f"The last of {first.attempts} tries ended with {first.error[:300]!r}. " if first.error else ""
    return (
        f"Stripe's event {first.pk} ({first.type}, customer {first.customer}, received {first.received_at:%Y-%m-%d %H:%M} UTC){others} could not be "
        f"acted on: what was paid or ended there may not be so here. {error}{ADVICE.get(reason, USUAL_ADVICE)} "
        "It is tried again by itself, each six hours at least; `manage.py stripe_events --now` tries at once. This alert ends when it is done."
    )
