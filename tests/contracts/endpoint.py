"""A plain HTTP caller of an endpoint that goes on when a connection breaks, as a careful client would."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from controlplane.common.ids import uuid7

PATIENCE_S = 60
PAUSE_S = 0.05


@dataclass(frozen=True)
class Ended:
    """How a run ended: 200 with the object of results, or 520 with the object that says why."""

    run: str
    status: int
    body: Any


class EndpointCaller:
    """Calls one endpoint with one token. `interruptions` says what a less careful client would have stumbled over."""

    def __init__(self, endpoint: str, token: str) -> None:
        parts = urlsplit(endpoint)
        self.host, self.port, self.base = parts.hostname or "", parts.port, parts.path.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.interruptions: list[str] = []

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Make one request on a connection of its own; return status and JSON."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, self.base + path, None if body is None else json.dumps(body), {**self.headers, **headers})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(content)

    def put(self, body: dict[str, Any], run: str) -> tuple[int, Any]:
        """Ask once for a run under this id."""
        return self.call("PUT", "/api/run?advice=true", body, **{"X-Run-Id": run})

    def accept(self, body: dict[str, Any], run: str | None = None) -> str:
        """Put a run until it is accepted, always under the same id; return the id."""
        run = run or str(uuid7())
        status, answer = self._insist("PUT", "/api/run?advice=true", body, **{"X-Run-Id": run})
        assert (status, answer.get("uuid")) == (200, run), answer
        return run

    def wait(self, run: str) -> Ended:
        """Ask for the results until the run has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status, answer = self._insist("GET", f"/api/results/{run}?advice=true&long=true")
            if status != 202:
                return Ended(run, status, answer)
        raise AssertionError(f"run {run} has not ended after {PATIENCE_S} s")

    def run(self, body: dict[str, Any]) -> Ended:
        """Accept and wait."""
        return self.wait(self.accept(body))

    def _insist(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Repeat a call while the connection breaks or the service says 503."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                status, answer = self.call(method, path, body, **headers)
            except (OSError, http.client.HTTPException) as error:
                self.interruptions.append(f"{method} {path}: {error!r}")
                if time.monotonic() > deadline:
                    raise
            else:
                if status != 503 or time.monotonic() > deadline:
                    return status, answer
                self.interruptions.append(f"{method} {path}: {answer}")
            time.sleep(PAUSE_S)
