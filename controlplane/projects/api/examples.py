"""Examples of the API description."""

ORIGIN = "http://127.0.0.1:8000"
PROJECT = {
    "url": f"{ORIGIN}/v1/projects/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31/",
    "name": "Getting_started",
    "path": "ines/Getting_started",
    "namespace": "ines",
    "description": "Example workflows.",
    "visibility": "PRIVATE",
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:00Z",
}
DATA = {
    "api": {"python_version": "3.11", "version": "0.16.1"},
    "metadata": {"name": "blur", "description": "", "keywords": ""},
    "tasks": [{"task_id": 0, "task_data": {"name": "ocv_blur", "language": 0, "parameters": [{"name": "kSizeWidth", "value": "7"}]}}],
    "connections": [{"source_id": -1, "source_index": 0, "target_id": 0, "target_index": 0}],
}
WORKFLOW = {
    "url": f"{ORIGIN}/v1/workflows/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c41/",
    "name": "blur",
    "description": "Smooths a picture.",
    "tag": "v2",
    "project": PROJECT["url"],
    "data": DATA,
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:30:00Z",
}
VERSION = {
    "tag": "v2",
    "archive": f"{WORKFLOW['url']}versions/2/archive/",
    "archive_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "archive_size": 1834,
    "plugins": [],
    "algorithms": [],
    "data": DATA,
    "created_by": "ines",
    "created_at": "2026-03-02T09:30:00Z",
}
ENDPOINT_TOKEN = {
    "access_token": "eyJ…",
    "expires_in": 36000,
    "token_type": "Bearer",
    "scope": "openid consume",
    "refresh_token": None,
    "id_token": "eyJ…",
}
