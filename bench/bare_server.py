"""A server that only answers: the endpoint API with one ready-made result, on http.server. What it costs is the client and the wire.

Usage: bare_server.py WORKFLOW_JSON RESULT_JSON; prints its port.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

RUN = "0198b2d0-5a7c-7c11-9a53-6f0e2b9d4c31"


class Bare(BaseHTTPRequestHandler):
    """Answers a run at once with the same result."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    workflow: ClassVar[bytes]
    ended: ClassVar[bytes]
    pending: ClassVar[bytes]

    def do_GET(self) -> None:
        """Give the workflow, a token or the result."""
        if "jwt" in self.path:
            self.answer(200, b'{"id_token": "x", "expires_in": 36000}')
        else:
            self.answer(200, self.workflow if self.path.endswith("/workflow") else self.ended)

    def do_PUT(self) -> None:
        """Accept a run."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, self.pending)

    def answer(self, status: int, body: bytes) -> None:
        """Send JSON."""
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def main(workflow: str, result: str) -> None:
    """Serve until killed."""
    state = {"uuid": RUN, "eta": [0, 0], "next_poll_in": 0, "next_poll_long": True}
    Bare.workflow = Path(workflow).read_bytes()
    Bare.pending = json.dumps({**state, "state": "PENDING", "results": None}).encode()
    Bare.ended = json.dumps({**state, "state": "SUCCESS", "results": json.loads(Path(result).read_text())}).encode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bare)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
