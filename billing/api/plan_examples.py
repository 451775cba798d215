"""Examples of plans and quotas for the API's description."""

from __future__ import annotations

from typing import Any

PLAN: dict[str, Any] = {
    "code": "starter-monthly",
    "name": "Starter",
    "interval": "MONTH",
    "price_cents": 1990,
    "currency": "EUR",
    "credits": "2,000",
    "micro_credits": 2000000000,
    "hits": 0,
    "validity_months": 6,
    "quotas": {"projects": 10, "algorithms": 20, "workflows": 50, "deployments": 3, "storage_bytes": 10000000000},
    "infrastructures": ["*"],
    "calls_a_minute": 600,
    "personal": True,
    "organizations": True,
    "offered": True,
    "current": False,
}
QUOTAS: dict[str, Any] = {
    "plan": "free",
    "calls_a_minute": 60,
    "quotas": [
        {"name": "projects", "limit": 3, "used": 2, "lifted_by": "starter-monthly"},
        {"name": "algorithms", "limit": 5, "used": 0, "lifted_by": "starter-monthly"},
        {"name": "workflows", "limit": 10, "used": 4, "lifted_by": "starter-monthly"},
        {"name": "deployments", "limit": 1, "used": 1, "lifted_by": "starter-monthly"},
        {"name": "storage_bytes", "limit": 1000000000, "used": 48203776, "lifted_by": "starter-monthly"},
    ],
}
