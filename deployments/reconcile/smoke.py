"""A run on a new revision before it gets the traffic.

Starting well is not working well: a workflow may load and crash on its first picture. So a new revision gets a plain picture first; if it fails
where the revision that serves does not, it does not get the traffic. What cannot be tried (other inputs than pictures, a runtime that
takes longer than a lease allows) decides nothing: the watch over the first minutes does (watch.py).
"""

from __future__ import annotations

import base64
import http.client
import json
import logging
import struct
import zlib
from typing import Any
from uuid import uuid4

import httpx

from deployments.checkpoints import checkpoint
from deployments.leases import Lease, extend
from deployments.models import Replica
from deployments.providers.unix import UnixConnection
from deployments.states import Reason, ReplicaStatus, Status

logger = logging.getLogger(__name__)

# Within the lease of a deployment, for two runs.
SECONDS = 12.0
SIDE = 64
MOST_INPUTS = 8


def try_revision(lease: Lease, replica: Replica) -> Reason | None:
    """Return why the revision must not get the traffic, None when it may."""
    deployment = lease.deployment
    if deployment.status != Status.UPDATING or deployment.wanted_version is None:
        return None
    serving = deployment.replicas.filter(status=ReplicaStatus.SERVING).exclude(revision=replica.revision).first()
    body = smoke_body(deployment.wanted_version.data)
    if serving is None or body is None:
        return None
    extend(lease)
    problem = smoke_run(replica, body)
    if not problem:
        return None
    extend(lease)
    if smoke_run(serving, body) != "":
        logger.info("smoke run of %s: the revision that serves does not stand it either, so it decides nothing (%s)", replica.name, problem)
        return None
    checkpoint("smoke_failed")
    return Reason("SMOKE_RUN_FAILED", f"A run on a plain picture fails with the new version and not with the one that serves: {problem}")


def smoke_body(data: dict[str, Any]) -> bytes | None:
    """Return the body of a run with a picture for each input of the workflow, None when it has none or too many."""
    inputs = {link.get("source_index") for link in data.get("connections") or [] if link.get("source_id") == -1}
    if not inputs or len(inputs) > MOST_INPUTS:
        return None
    picture = {"image": base64.b64encode(plain_picture()).decode()}
    return json.dumps({"inputs": [picture] * len(inputs), "outputs": [], "parameters": []}).encode()


def plain_picture() -> bytes:
    """Return a PNG of 64 x 64 pixels with a slope from dark to bright, three channels."""
    rows = b"".join(b"\x00" + b"".join(bytes((column * 4 % 256, row * 4 % 256, 128)) for column in range(SIDE)) for row in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def smoke_run(replica: Replica, body: bytes) -> str | None:
    """Run once on a replica; returns what the workflow failed with, "" when it worked, None when nothing can be said."""
    try:
        status, text = put(replica.address, f"/runs/{uuid4()}", body)
        answer = json.loads(text) if status == 200 else {}
    except (httpx.HTTPError, http.client.HTTPException, ValueError, OSError) as error:
        logger.info("smoke run of %s says nothing: %s", replica.name, error)
        return None
    if answer.get("state") != "FAILURE":
        return "" if answer.get("state") == "SUCCESS" else None
    told = answer.get("error") or {}
    return f"{told.get('code', 'failure')}: {str(told.get('detail', ''))[:1000]}"


def put(address: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Send a run to a replica at "unix:/path" or a URL; returns status and body."""
    headers = {"content-type": "application/json"}
    if not address.startswith("unix:"):
        reply = httpx.put(f"{address.rstrip('/')}{path}", content=body, headers=headers, timeout=SECONDS)
        return reply.status_code, reply.content
    connection = UnixConnection(address.removeprefix("unix:"), timeout=SECONDS)
    try:
        connection.request("PUT", path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
