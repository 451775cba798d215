"""Every setting is documented."""

from __future__ import annotations

import re

from controlplane.embedded.options import REPOSITORY

READ = re.compile(r'(?:\benv(?:\.\w+)?|secret|environ\.get|environment\.get|_number)\(\s*(?:environment, )?"([A-Z][A-Z0-9_]+)"')
FOLDERS = ["controlplane", "deployments", "gateway", "billing", "storage"]
NOT_OURS = {"PATH", "PYTHONPATH"}


def test_every_setting_that_the_code_reads_is_in_the_documentation():
    read = {
        name for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py") for name in READ.findall(path.read_text())
    } - NOT_OURS
    assert {"DATABASE_URL", "SECRET_KEY", "GATEWAY_MAX_BODY", "WORKER_CONCURRENCY"} <= read
    documented = set(
        re.findall(r"`([A-Z][A-Z0-9_]+)`", "".join((REPOSITORY / "docs" / page).read_text() for page in ("operations.md", "gateway.md")))
    )
    assert read - documented == set()
