"""Examples of the ledger in the API description."""

from typing import Any

GRANT_ID, DEPLOYMENT_ID = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4e01", "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21"
SUMMARY: dict[str, Any] = {
    "workspace": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c01",
    "plan": {
        "code": "starter-monthly",
        "name": "Starter",
        "status": "ACTIVE",
        "next_credits_at": "2026-04-02T09:00:00Z",
        "next_credits": 2_000_000_000,
        "ends_at": None,
    },
    "unmetered": False,
    "balance": 1_824_110_400,
    "held": 4_293_000,
    "available": 1_819_817_400,
    "hits": 0,
    "in_credits": {"balance": "1,824.1104", "held": "4.293", "available": "1,819.8174"},
    "funding": {
        "status": "FUNDED",
        "since": "2026-03-02T09:00:00Z",
        "grace_until": None,
        "next": "Everything runs. When the credits run out, serverless endpoints answer 402 at once and instances end 15 minutes later.",
    },
    "burn": {
        "instances": 1,
        "micro_credits_an_hour": 17_172_000,
        "credits_an_hour": "17.172",
        "lasts_until": "2026-03-06T19:13:30.276730Z",
        "available_until": "2026-03-06T18:58:30.276730Z",
    },
    "payments": {"configured": True, "detail": "Plans are paid by card; invoices are in the billing portal."},
}
BALANCE: dict[str, Any] = {"at": "2026-03-01T00:00:00Z", "balance": 402_000_000, "credits": "402", "hits": 0, "future": False}
GRANT: dict[str, Any] = {
    "id": GRANT_ID,
    "unit": "micro-credits",
    "amount": 2_000_000_000,
    "spent": 175_889_600,
    "left": 1_824_110_400,
    "in_credits": {"amount": "2,000", "spent": "175.8896", "left": "1,824.1104"},
    "starts_at": "2026-03-02T09:00:00Z",
    "expires_at": "2026-09-02T09:00:00Z",
    "valid": True,
    "source": "PLAN",
    "plan": "starter-monthly",
    "reason": "Starter, period of 2026-03-02",
    "created_at": "2026-03-02T09:00:12.000000Z",
}
CHARGE: dict[str, Any] = {
    "entry": 4711,
    "deployment": {
        "id": DEPLOYMENT_ID,
        "label": "quay/belts/count",
        "offer": "AWS FRANCE CLUSTER XS",
        "project": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c20",
    },
    "price": {"code": "AWS CLUSTER XS", "unit": "s", "micro_credits": 4770},
    "quantity": 60,
    "from": "2026-03-02T09:14:03Z",
    "to": "2026-03-02T09:15:03Z",
    "micro_credits": 286_200,
    "credits": "0.2862",
    "hits": 0,
    "grants": [
        {
            "grant": GRANT_ID,
            "source": "PLAN",
            "plan": "starter-monthly",
            "expires_at": "2026-09-02T09:00:00Z",
            "micro_credits": 286_200,
            "hits": 0,
        }
    ],
    "written_off": 0,
    "given_back": None,
    "sum": "60 s x 0.00477 = 0.2862 credits",
}
ENTRY: dict[str, Any] = {
    "entry": 4712,
    "kind": "CORRECTION",
    "booked_at": "2026-03-02T10:00:00Z",
    "micro_credits": 286_200,
    "credits": "0.2862",
    "hits": 0,
    "grant": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4e02",
    "corrects": 4711,
    "reason": "The machine was broken.",
    "created_at": "2026-03-02T10:00:41.000000Z",
}
CAP: dict[str, Any] = {
    "url": "http://127.0.0.1:8000/v1/namespaces/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c02/billing/caps/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4e03/",
    "id": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4e03",
    "deployment": DEPLOYMENT_ID,
    "label": "quay/belts/count",
    "period": "MONTH",
    "amount": 100_000_000,
    "used": 62_000_000,
    "in_credits": {"amount": "100", "used": "62"},
    "share": 62,
    "reached_at": None,
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:00Z",
}
NEW_CAP: dict[str, Any] = {"deployment": DEPLOYMENT_ID, "period": "MONTH", "amount": 100_000_000}
