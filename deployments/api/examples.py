"""Examples shown with the operations."""

from __future__ import annotations

from typing import Any

ORIGIN = "http://127.0.0.1:8000/v1"
DEPLOYMENT: dict[str, Any] = {
    "url": f"{ORIGIN}/deployments/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21/",
    "uid": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21",
    "workflow": f"{ORIGIN}/workflows/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c20/",
    "provider": "AWS",
    "region": "FRANCE",
    "flavour": "CLUSTER",
    "size": "M",
    "tag": "v2",
    "revision": 2,
    "outdated": False,
    "status": "RUNNING",
    "status_since": "2026-03-02T09:00:02.100000Z",
    "reason": {"code": "", "detail": "The endpoint serves runs.", "next": "It stays so until you update, resize, pause or delete it."},
    "endpoint": "http://127.0.0.1:8100/dq7m2x4kp9r3t6v8wyza",
    "backend": "local",
    "isolation": {"sandbox": "bubblewrap", "user": "own", "limits": "cgroup-v2"},
    "paused": False,
    "replicas": {"serving": 1, "min_replicas": 1, "max_replicas": 1, "idle_seconds": 0, "asleep": False},
    "base": {"name": "ikomia-0.16.1-python-3.11", "note": ""},
    "image": "registry.example.com/slipway/bundles@sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "auto_rollback": True,
    "expires_at": None,
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:02.100000Z",
}
QUEUED: dict[str, Any] = {
    **DEPLOYMENT,
    "status": "QUEUED",
    "isolation": {},
    "reason": {"code": "", "detail": "Accepted; work starts in a moment.", "next": "Building"},
}
UPDATING: dict[str, Any] = {**DEPLOYMENT, "tag": "v3", "size": "L"}
REQUEST = {"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M"}
OFFER: dict[str, Any] = {
    "provider": "AWS",
    "flavour": "SERVERLESS",
    "size": "S",
    "product": "AWS SERVERLESS S",
    "vcpu": 3,
    "ram_mb": 4096,
    "disk_gb": 0,
    "ephemeral_mb": 512,
    "gpu": "",
    "regions": ["FRANCE", "GERMANY", "IRELAND"],
    "price": {"micro_credits": 829, "unit": "ms", "credits_per_second": "0.829"},
    "available": True,
    "unavailable_reason": "",
    "backend": "local",
}
LOGS: dict[str, Any] = {
    "logs": [
        {
            "timestamp": 1772442002100,
            "level": "INFO",
            "source": "run",
            "message": "run 0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31 succeeded in 12.3 ms",
            "run": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31",
            "duration_ms": 12.3,
        }
    ],
    "end": 1772442002100,
}
USAGE: list[dict[str, Any]] = [
    {
        "product": {"name": "AWS CLUSTER M", "unit": "HIT"},
        "hits": {"total": 3, "data": {"1772441940000": 2, "1772442000000": 1}},
        "duration_ms": 41,
        "micro_credits": 820,
    }
]

PAUSED: dict[str, Any] = {
    **DEPLOYMENT,
    "status": "PAUSED",
    "isolation": {},
    "paused": True,
    "replicas": {"serving": 0, "min_replicas": 1, "max_replicas": 1, "idle_seconds": 0, "asleep": False},
    "reason": {"code": "", "detail": "Nothing runs and nothing is charged; the URL stays.", "next": "Resume it to serve again."},
}
REVISION: dict[str, Any] = {
    "number": 2,
    "kind": "UPDATE",
    "tag": "v2",
    "size": "M",
    "digest": "3b5d5c3712955042212316173ccf37be800a6b8d4f1a2d1b5f0a1e2c3d4b5a69",
    "state": "SERVED",
    "serving": True,
    "created_by": "ada",
    "note": "",
    "reason_code": "",
    "reason_detail": "",
    "created_at": "2026-03-02T09:00:00Z",
    "served_at": "2026-03-02T09:00:02.100000Z",
}
REPLICA: dict[str, Any] = {
    "name": "d0198b2d05a7c7c119a536f0e2b9d4c21-r2-1",
    "revision": 2,
    "size": "M",
    "status": "SERVING",
    "workers": 4,
    "isolation": {"sandbox": "bubblewrap", "user": "own", "limits": "cgroup-v2"},
    "failure": "",
    "created_at": "2026-03-02T09:00:00.500000Z",
    "ready_at": "2026-03-02T09:00:02Z",
    "terminated_at": None,
}
HISTORY: dict[str, Any] = {
    "before": "UPDATING",
    "after": "RUNNING",
    "reason_code": "START_FAILED",
    "reason_detail": "No module named 'hull'",
    "next": "Read the logs of the deployment, correct the workflow or its plugins, push again, then update.",
    "created_at": "2026-03-02T09:10:00Z",
}
SCHEDULE: dict[str, Any] = {
    "url": f"{ORIGIN}/schedules/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c22/",
    "action": "PAUSE",
    "cron": "0 19 * * 1-5",
    "time_zone": "Europe/Paris",
    "next_at": "2026-03-02T18:00:00Z",
    "last_at": None,
    "created_by": "ada",
    "created_at": "2026-03-02T09:00:00Z",
}
