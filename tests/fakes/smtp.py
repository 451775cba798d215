"""A mail server for tests: it takes mail over a real connection, and refuses what it is told to."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage


class FakeSmtp(socketserver.ThreadingTCPServer):
    """Keeps mails in `mails`. `refused` are recipients that it does not take; `fails_after` so many mails it hangs up in the middle of the next."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Session)
        self.mails: list[EmailMessage] = []
        self.connections = 0
        self.refused: set[str] = set()
        self.fails_after: int | None = None

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self.server_address[1])

    def recipients(self) -> list[str]:
        """Return to whom mails went, in their order."""
        return [str(mail["To"]) for mail in self.mails]


class Session(socketserver.StreamRequestHandler):
    """One client."""

    server: FakeSmtp

    def handle(self) -> None:
        """Speak as much SMTP as Python's client needs."""
        self.server.connections += 1
        self.say("220 mail.test")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("RCPT"):
                taken = line.partition("<")[2].rstrip(">") not in self.server.refused
                self.say("250 ok" if taken else "550 no such mailbox")
            elif verb == "DATA":
                if self.server.fails_after is not None and len(self.server.mails) >= self.server.fails_after:
                    return
                self.take()
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def take(self) -> None:
        """Take one mail."""
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line)
        parsed = message_from_bytes(b"".join(lines), _class=EmailMessage, policy=policy.default)
        self.server.mails.append(parsed)
        self.say("250 ok")

    def say(self, words: str) -> None:
        """Answer a line."""
        self.wfile.write(f"{words}\r\n".encode())


@contextmanager
def running_smtp() -> Iterator[FakeSmtp]:
    """Run a mail server as long as the block lasts."""
    with FakeSmtp() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
