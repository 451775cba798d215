"""What beat starts. Every entry expires before its next turn would pile up behind a worker that is away."""

from __future__ import annotations

from typing import Any

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "deployments.reconcile_due": {"task": "deployments.reconcile_due", "schedule": 1.0, "options": {"expires": 3}},
    "deployments.follow_demand": {"task": "deployments.follow_demand", "schedule": 1.0, "options": {"expires": 3}},
    "deployments.sweep_providers": {"task": "deployments.sweep_providers", "schedule": 10.0, "options": {"expires": 10}},
    "deployments.keep_watch": {"task": "deployments.keep_watch", "schedule": 5.0, "options": {"expires": 5}},
    "deployments.alert_operators": {"task": "deployments.alert_operators", "schedule": 60.0, "options": {"expires": 60}},
    "deployments.tail_logs": {"task": "deployments.tail_logs", "schedule": 1.0, "options": {"expires": 3}},
    "webhooks.deliver_due": {"task": "webhooks.deliver_due", "schedule": 1.0, "options": {"expires": 3}},
    "webhooks.prune": {"task": "webhooks.prune", "schedule": 3600.0, "options": {"expires": 600}},
    "accounts.restore_revocations": {"task": "accounts.restore_revocations", "schedule": 2.0, "options": {"expires": 3}},
    "storage.sweep": {"task": "storage.sweep", "schedule": 15.0, "options": {"expires": 15}},
    "api.sweep_idempotency_keys": {"task": "api.sweep_idempotency_keys", "schedule": 600.0, "options": {"expires": 300}},
    "storage.check": {"task": "storage.check", "schedule": 24 * 3600.0, "options": {"expires": 3600}},
    "billing.stripe.act_on_events": {"task": "billing.stripe.act_on_events", "schedule": 60.0, "options": {"expires": 60}},
    "billing.stripe.reconcile": {"task": "billing.stripe.reconcile", "schedule": 24 * 3600.0, "options": {"expires": 3600}},
    "deployments.keep_usage_partitions": {"task": "deployments.keep_usage_partitions", "schedule": 3600.0, "options": {"expires": 3600}},
    "deployments.keep_log_partitions": {"task": "deployments.keep_log_partitions", "schedule": 300.0, "options": {"expires": 300}},
    "billing.review_times": {"task": "billing.review_times", "schedule": 60.0, "options": {"expires": 60}},
    "billing.mail_notices": {"task": "billing.mail_notices", "schedule": 60.0, "options": {"expires": 60}},
}
