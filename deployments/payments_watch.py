"""Whether what Stripe tells arrives: events that keep failing are told to the operators."""

from __future__ import annotations

from billing.stripe.failing import failing_events
from deployments.alerts import clear_alert, raise_alert
from deployments.models import Alert, AlertKind


def watch_payments() -> int:
    """Alert for each reason why events of Stripe's keep failing, and end the alerts whose events were handled; return how many go on."""
    found = {failure.reason: failure.detail for failure in failing_events()}
    for reason, detail in found.items():
        alert = raise_alert(AlertKind.STRIPE_EVENT_FAILS, reason, detail=detail)
        if alert.detail != detail:
            # Another event is the oldest one by now: who looks is not to search for one that was handled.
            Alert.objects.filter(pk=alert.pk).update(detail=detail)
    for alert in Alert.objects.filter(kind=AlertKind.STRIPE_EVENT_FAILS, cleared_at=None).exclude(subject__in=found):
        clear_alert(AlertKind.STRIPE_EVENT_FAILS, alert.subject)
    return len(found)
