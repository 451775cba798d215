"""The local driver: speaks to the agent over its unix socket."""

from __future__ import annotations

import http.client
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from deployments.providers.base import (
    LogChunk,
    NoCapacity,
    Phase,
    ProviderUnavailable,
    ReplicaSpec,
    ReplicaState,
    SpecConflict,
    StillWorking,
)
from deployments.providers.unix import UnixConnection

TIMEOUT_SECONDS = 5.0


class LocalProvider:
    """A `Provider`, `LogReader` and `LogPositions` on top of the agent at `socket_path`."""

    name = "local"
    visibility_delay = 0.0

    def __init__(self, socket_path: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self.socket_path = socket_path
        self.timeout = timeout

    def ensure_replica(self, spec: ReplicaSpec) -> ReplicaState:
        """Start the replica unless it runs; NoCapacity when the machine's memory is used up."""
        status, answer = self.call("PUT", f"/replicas/{quote(spec.name)}", asdict(spec))
        if status == 507:
            raise NoCapacity(answer["detail"])
        if status == 409:
            raise SpecConflict(answer["detail"])
        return parse_state(self.expected(status, answer))

    def get_replica(self, name: str) -> ReplicaState | None:
        """Return the state that the agent last saw."""
        status, answer = self.call("GET", f"/replicas/{quote(name)}")
        return None if status == 404 else parse_state(self.expected(status, answer))

    def delete_replica(self, name: str) -> None:
        """Ask the runtime to drain and end; runs in hand have 20 seconds."""
        status, answer = self.call("DELETE", f"/replicas/{quote(name)}")
        if status == 404:
            return
        self.expected(status, answer)
        raise StillWorking(f"{name} is draining")

    def list_replicas(self) -> list[ReplicaState]:
        """Return the states of the agent's replicas."""
        status, answer = self.call("GET", "/replicas")
        return [parse_state(found) for found in self.expected(status, answer)["replicas"]]

    def read_logs(self, name: str, cursor: str, *, limit: int) -> LogChunk:
        """Return lines that the agent captured; they stay readable after the replica is gone."""
        status, answer = self.call("GET", f"/replicas/{quote(name)}/logs?{urlencode({'cursor': cursor, 'limit': limit})}")
        found = self.expected(status, answer)
        return LogChunk(lines=tuple(found["lines"]), cursor=found["cursor"])

    def log_positions(self) -> dict[str, str]:
        """Return how far each log reaches, those of ended replicas included until they are dropped."""
        status, answer = self.call("GET", "/logs")
        return dict(self.expected(status, answer)["positions"])

    def drop_logs(self, name: str) -> None:
        """Remove the log of a replica that is gone."""
        self.expected(*self.call("DELETE", f"/replicas/{quote(name)}/logs"))

    def expected(self, status: int, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of a call that went well."""
        if status >= 300:
            raise ProviderUnavailable(f"The local agent answered {status}: {answer.get('detail', '')}")
        return answer

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Make one request and return its status and JSON."""
        connection = UnixConnection(self.socket_path, timeout=self.timeout)
        try:
            connection.request(method, path, body=json.dumps(body).encode() if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProviderUnavailable(f"The local agent does not answer at {self.socket_path} ({type(error).__name__}).") from error
        finally:
            connection.close()


def parse_state(answer: dict[str, Any]) -> ReplicaState:
    """Return the state in an answer of the agent."""
    return ReplicaState(
        name=answer["name"],
        phase=Phase(answer["phase"]),
        address=answer["address"],
        workers=answer["workers"],
        detail=answer["detail"],
        restarts=answer["restarts"],
        isolation=answer["isolation"],
        billed_from=datetime.fromisoformat(answer["billed_from"]) if answer.get("billed_from") else None,
        passing=answer.get("passing", False),
    )
