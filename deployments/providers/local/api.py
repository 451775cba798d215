"""The agent's HTTP API on its unix socket, as a raw ASGI app: PUT, GET, DELETE /replicas/{name}, its logs, /logs and /health."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, unquote

from deployments.providers.base import ReplicaSpec
from deployments.providers.local import logfile
from deployments.providers.local.fleet import Fleet, NameTaken, NoRoom

Message = MutableMapping[str, Any]
Answer = tuple[int, dict[str, Any]]

NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
DIGEST = re.compile(r"^[0-9a-f]{64}$")
MAX_BODY = 64 * 1024
MOST_LINES = 5000


class AgentApi:
    """Translates requests into calls of the fleet. Whoever can open the socket (mode 0600) is trusted."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Answer one request with JSON."""
        body = await read_body(receive)
        status, answer = await self.answer(scope["method"], unquote(scope["path"]), body, parse_qs(scope["query_string"].decode()))
        content = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def answer(self, method: str, path: str, body: bytes, query: dict[str, list[str]]) -> Answer:
        """Find the route."""
        match path.strip("/").split("/"):
            case ["health"] if method == "GET":
                return 200, self.health()
            case ["replicas"] if method == "GET":
                return 200, {"replicas": [replica.state() for _, replica in sorted(self.fleet.replicas.items())]}
            case ["replicas", name] if NAME.match(name):
                return self.replica(method, name, body)
            case ["replicas", name, "logs"] if method == "GET" and NAME.match(name):
                cursor, limit = query.get("cursor", [""])[0], min(int(query.get("limit", ["1000"])[0]), MOST_LINES)
                return 200, await asyncio.to_thread(logfile.read, self.fleet.host.folders.logs, name, cursor, limit=limit)
            case ["replicas", name, "logs"] if method == "DELETE" and NAME.match(name):
                return await self.drop_logs(name)
            case ["logs"] if method == "GET":
                return 200, {"positions": await asyncio.to_thread(logfile.positions, self.fleet.host.folders.logs)}
        return 404, {"code": "not_found", "detail": f"The agent has no {method} {path}."}

    async def drop_logs(self, name: str) -> Answer:
        """Remove the log of a replica that has ended."""
        if name in self.fleet.replicas:
            return 409, {"code": "still_there", "detail": f"{name} has not ended: its log is kept."}
        await asyncio.to_thread(logfile.drop, self.fleet.host.folders.logs, name)
        return 200, {}

    def health(self) -> dict[str, Any]:
        """Return what the agent is and what it reached."""
        host = self.fleet.host
        return {"status": "ok", "pid": os.getpid(), "replicas": len(self.fleet.replicas), "cores": host.cores, "isolation": host.isolation}

    def replica(self, method: str, name: str, body: bytes) -> Answer:
        """Start, show or end one replica."""
        if method == "PUT":
            return self.put(name, body)
        if method == "GET":
            state = self.fleet.state(name)
        elif method == "DELETE":
            state = self.fleet.delete(name)
        else:
            return 405, {"code": "method_not_allowed", "detail": "GET, PUT or DELETE."}
        if state is None:
            return 404, {"code": "not_found", "detail": f"There is no replica {name}."}
        return (202 if method == "DELETE" else 200), state

    def put(self, name: str, body: bytes) -> Answer:
        """Start a replica from the specification in the body."""
        try:
            spec = ReplicaSpec(**json.loads(body))
        except (ValueError, TypeError) as error:
            return 400, {"code": "invalid", "detail": f"The specification cannot be read: {error}"}
        if spec.name != name or not DIGEST.match(spec.bundle) or spec.vcpu < 1 or spec.ram_mb < 1:
            return 400, {"code": "invalid", "detail": "The specification needs its own name, a SHA-256, and at least 1 vCPU and 1 MB."}
        try:
            return 200, self.fleet.ensure(spec)
        except NameTaken as error:
            return 409, {"code": "name_taken", "detail": str(error)}
        except NoRoom as error:
            return 507, {"code": "no_room", "detail": str(error)}


async def read_body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    """Return the request's body, cut at MAX_BODY (which then is no JSON)."""
    body = b""
    while len(body) < MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body[:MAX_BODY]
