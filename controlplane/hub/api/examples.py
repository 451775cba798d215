"""Examples of the API description."""

ORIGIN = "http://127.0.0.1:8000"
ALGORITHM_URL = f"{ORIGIN}/v1/algos/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c71/"
HUB_URL = f"{ORIGIN}/v1/hub/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c81/"
PLATFORM = {"os": ["LINUX"], "ikomia": ">=0.16.1", "python": ">=3.10,<3.14.0", "architecture": ["X86_64"], "features": []}
COLUMNS = {
    "language": "PYTHON",
    "ikomia_min_version": "0.16.1",
    "ikomia_max_version": "",
    "python_min_version": "3.10",
    "python_max_version": "3.14.0",
    "os": ["LINUX"],
    "architecture": ["X86_64"],
    "features": [],
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size": 18_342,
    "created_at": "2026-03-02T09:00:00Z",
}
PACKAGE = {"url": f"{ALGORITHM_URL}packages/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c72/", "tag": "v1", "platform": PLATFORM, **COLUMNS}
PAPER = {"authors": "I. Marin", "title": "Hulls from above", "journal": "Quay letters", "year": 2025, "link": "https://example.com/hulls"}
TOLD = {
    "short_description": "Finds hulls and cranes.",
    "keywords": ["hull", "crane"],
    "language": "PYTHON",
    "algo_type": "INFER",
    "algo_task": ["OBJECT_DETECTION"],
}
FULL = {
    "description": "A small detector for harbours.",
    "paper": PAPER,
    "repository": "https://example.com/find_hulls",
    "original_implementation_repository": "",
}
NEW_ALGORITHM = {"name": "find_hulls", **TOLD, **FULL}
ALGORITHM = {
    "url": ALGORITHM_URL,
    "name": "find_hulls",
    "path": "harbour/find_hulls",
    "visibility": "TEAM",
    **TOLD,
    **FULL,
    "packages": [PACKAGE],
    "icon_url": f"{ALGORITHM_URL}icon/",
    "demo_workflow": f"{ALGORITHM_URL}demo-workflows/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c73/",
    "published": HUB_URL,
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:30:00.000000Z",
}
DEMO = {
    "url": ALGORITHM["demo_workflow"],
    "name": "hulls demo",
    "description": "",
    "archive": f"{ALGORITHM['demo_workflow']}archive/",
    "archive_sha256": COLUMNS["sha256"],
    "archive_size": 20_113,
    "data": {"tasks": [], "connections": []},
    "updated_at": "2026-03-02T09:30:00Z",
}
PUBLISH = {"license": "APACHE_20", "version": "1.1.0"}
PUBLISHED = {"license": "APACHE_20", "next_versions": {"major": "2.0.0", "minor": "1.2.0", "patch": "1.1.1"}}
HUB_PACKAGE = {
    "url": f"{HUB_URL}packages/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c82/",
    "version": "1.1.0",
    "license": "APACHE_20",
    "platform": PLATFORM,
    **COLUMNS,
}
HUB_ROW = {
    "url": HUB_URL,
    "name": "find_hulls",
    "version": "1.1.0",
    "license": "APACHE_20",
    **TOLD,
    "certification": True,
    "one_click": True,
    "publisher": "harbour",
    "icon_url": f"{HUB_URL}icon/",
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:30:00.000000Z",
}
HUB_ALGORITHM = {**HUB_ROW, **FULL, "packages": [HUB_PACKAGE]}
HUB_VERSION = {
    "version": "1.1.0",
    "license": "APACHE_20",
    "short_description": TOLD["short_description"],
    "one_click": True,
    "digest": COLUMNS["sha256"],
    "created_at": "2026-03-02T09:30:00Z",
}
DEPLOY = {"project": f"{ORIGIN}/v1/projects/0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31/"}
