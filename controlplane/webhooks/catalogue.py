"""The events that there are. docs/webhooks.md shows their payloads and says how to add one."""

from __future__ import annotations

EVENTS: dict[str, str] = {
    "deployment.created": "Somebody asked for a deployment.",
    "deployment.status_changed": "A deployment went from one status to another.",
    "deployment.running": "A deployment serves runs, for the first time or again.",
    "deployment.error": "A deployment could not be built or started; the reason says why.",
    "deployment.deleted": "A deployment and its infrastructure are gone.",
    "run.succeeded": "A run ended with a result.",
    "run.failed": "A run ended without one.",
}

# Sent when somebody asks for it, to one webhook, whatever that one listens to.
PING = "webhook.ping"
