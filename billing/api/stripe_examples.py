"""Examples of payments for the API description."""

from __future__ import annotations

from typing import Any

PAGE = {"url": "https://checkout.stripe.com/c/pay/cs_live_a1b2c3"}
PORTAL = {"url": "https://billing.stripe.com/p/session/live_a1b2c3"}
SUBSCRIPTION: dict[str, Any] = {
    "plan": "starter-monthly",
    "name": "Starter",
    "status": "CANCELLING",
    "current_period_end": "2026-04-02T09:00:00Z",
    "next": "It ends on current_period_end and credits stay valid. Reactivate it before, if you want to keep it.",
}
ACTIVE = {**SUBSCRIPTION, "status": "ACTIVE", "next": "Nothing: the next period begins, and is paid, on current_period_end."}
INVOICE: dict[str, Any] = {
    "number": "8F2C1A9D-0001",
    "status": "paid",
    "amount": 1990,
    "currency": "EUR",
    "issued_at": "2026-03-02T09:00:00Z",
    "paid_at": "2026-03-02T09:00:04Z",
    "lines": [{"description": "1 x Starter (every month)", "amount": 1990, "start": "2026-03-02T09:00:00Z", "end": "2026-04-02T09:00:00Z"}],
    "hosted_url": "https://invoice.stripe.com/i/acct_1/live_a1b2c3",
    "pdf_url": "https://pay.stripe.com/invoice/acct_1/live_a1b2c3/pdf",
}
