"""Examples of the API description."""

from typing import Any

ORIGIN = "http://127.0.0.1:8000"
WEBHOOK_URL = f"{ORIGIN}/v1/webhooks/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4ca1/"
DELIVERY_URL = f"{ORIGIN}/v1/webhooks/deliveries/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4cb1/"
NEW = {"target_url": "https://hooks.example.com/slipway", "events": ["deployment.error", "run.failed"]}
WEBHOOK: dict[str, Any] = {
    "url": WEBHOOK_URL,
    "project": f"{ORIGIN}/v1/projects/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21/",
    **NEW,
    "active": True,
    "disabled_reason": "",
    "failures": 0,
    "failing_since": None,
    "hold_until": None,
    "previous_secret_until": None,
    "created_by": "marin",
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:00Z",
}
WITH_SECRET = {**WEBHOOK, "secret": "whsec_c2hvd24gb25jZSwgaW4gdGhpcyBhbnN3ZXIgb25seSE="}
DELIVERY: dict[str, Any] = {
    "url": DELIVERY_URL,
    "webhook": WEBHOOK_URL,
    "event": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4cc1",
    "sequence": 4711,
    "type": "run.failed",
    "subject": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4cd1",
    "data": {"run": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4cd1", "state": "FAILURE", "duration_ms": 1204},
    "occurred_at": "2026-03-02T09:14:03Z",
    "state": "DEAD",
    "attempts": 12,
    "next_attempt_at": None,
    "last_attempt_at": "2026-03-05T07:30:41Z",
    "last_status": 503,
    "last_error": "It answered 503.",
    "last_duration_ms": 84,
    "ended_at": "2026-03-05T07:30:41Z",
    "created_at": "2026-03-02T09:14:04Z",
}
WAITING = {**DELIVERY, "state": "PENDING", "attempts": 0, "next_attempt_at": "2026-03-05T09:00:00Z", "ended_at": None}
