"""Questions that tell whether a server answers. Each returns at once or within two seconds, and never raises."""

import http.client
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.embedded import s3
from controlplane.embedded.service import Probe
from controlplane.embedded.spawn import since_start

TIMEOUT_SECONDS = 2.0


def postgres_ready(data: Path) -> Probe:
    """PostgreSQL writes its state into the eighth line of postmaster.pid, its process id into the first."""

    def probe(pid: int) -> bool:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    return probe


def valkey_ready(port: int, password: str) -> Probe:
    """A PING with the password is answered once the data has been loaded."""
    question = f"AUTH {password}\r\nPING\r\n".encode()

    def ask() -> bool:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.sendall(question)
            answer = b""
            while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                answer += part
            return answer == b"+OK\r\n+PONG\r\n"

    return _quiet(ask)


def objects_writable(port: int, *, access_key: str, secret_key: str, bucket: str) -> Probe:
    """SeaweedFS is ready when it takes an object: its health page answers before it can write."""

    def ask() -> bool:
        if http_status("127.0.0.1", port, "/healthz") != 200:
            return False
        client = s3.Client(host=f"127.0.0.1:{port}", access_key=access_key, secret_key=secret_key, timeout=TIMEOUT_SECONDS)
        # 409: the bucket is there already.
        written = client.send("PUT", f"/{bucket}") in (200, 409) and client.send("PUT", f"/{bucket}/.probe", b"ready") == 200
        return written and client.send("DELETE", f"/{bucket}/.probe") == 204

    return _quiet(ask)


def web_answers(port: int, path: str, *, accepted: Callable[[int], bool] = lambda status: status == 200) -> Probe:
    """An HTTP server answers the path with an accepted status."""
    return _quiet(lambda: accepted(http_status("127.0.0.1", port, path)))


def socket_answers(path: Path) -> Probe:
    """Something accepts connections on the unix socket."""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(path))
        return True

    return _quiet(ask)


def log_says(path: Path, words: str) -> Probe:
    """The process has written the words since its latest start. For processes that listen nowhere."""
    return lambda _pid: words in since_start(path)


def address_answers(url: str, default_port: int) -> bool:
    """Whether the server of a given address accepts a connection."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or default_port), TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def http_status(host: str, port: int, path: str) -> int:
    """Status of a GET. Raises OSError or HTTPException when there is no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _quiet(ask: Callable[[], bool]) -> Probe:
    def probe(_pid: int) -> bool:
        try:
            return ask()
        except (OSError, http.client.HTTPException, ValueError):
            return False

    return probe
