"""Examples for the API description."""

NAMESPACE = {
    "url": "http://127.0.0.1:8000/v1/namespaces/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c21/",
    "name": "ines",
    "path": "ines",
    "visibility": "PRIVATE",
}
ORGANIZATION = {
    "url": "http://127.0.0.1:8000/v1/organizations/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c51/",
    "name": "harbour",
    "description": "Cranes, hulls and what lies between",
    "visibility": "TEAM",
    "location": "Marseille",
    "homepage": "https://harbour.example.com",
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:00Z",
}
MEMBER = {
    "url": "http://127.0.0.1:8000/v1/organizations/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c51/members/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11/",
    "username": "ines",
    "role": "OWNER",
    "source": "harbour",
}
NEW_MEMBER = {"user": "http://127.0.0.1:8000/v1/users/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11/", "role": "MEMBER"}
AUDIT = {
    "chain": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c51",
    "sequence": 12,
    "at": "2026-03-02T09:00:00Z",
    "actor_id": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c11",
    "actor_name": "ines",
    "action": "project.create",
    "kind": "project",
    "target": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31",
    "name": "harbour/quay",
    "address": "192.0.2.7",
    "request_id": "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c61",
    "credential": "laptop (slw_x7Qm…)",
    "details": {"visibility": "TEAM"},
    "previous": "6a1f…",
    "digest": "c09b…",
}
