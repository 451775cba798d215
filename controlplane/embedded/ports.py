"""Ports of the inner servers, derived from the data folder so that they stay the same from one start to the next."""

import hashlib
import socket
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

INNER = ("postgres", "valkey", "s3", "master", "filer", "volume", "admin")
WITH_GRPC = ("s3", "master", "filer", "volume", "admin")
GRPC_OFFSET = 10_000
# SeaweedFS listens for gRPC at port + 10000. Below 22768 that stays under 32768, where the system takes ports for outgoing connections.
LOWEST, HIGHEST, WIDTH = 10_240, 22_768, 8


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now; connections that are still closing do not count as taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def inner_ports(data_dir: Path) -> dict[str, int]:
    """A block of free ports for the inner servers, by name. The search starts at a place that depends on the folder only."""
    blocks = (HIGHEST - LOWEST) // WIDTH
    first = int.from_bytes(hashlib.sha256(bytes(data_dir)).digest()[:4], "big") % blocks
    for step in range(blocks):
        start = LOWEST + (first + step) % blocks * WIDTH
        ports = {name: start + index for index, name in enumerate(INNER)}
        grpc = [ports[name] + GRPC_OFFSET for name in WITH_GRPC]
        if all(is_free(port) for port in [*ports.values(), *grpc]):
            return ports
    raise EmbeddedError(f"No {WIDTH} free ports in a row between {LOWEST} and {HIGHEST} on 127.0.0.1.")


def require_free(port: int, *, flag: str, variable: str) -> None:
    """Raise EmbeddedError that names the flag and the variable to use when the public port is taken."""
    if not is_free(port):
        raise EmbeddedError(f"Port {port} on 127.0.0.1 is taken. Choose another with {flag} or {variable}, or stop what uses it.")


def free_port() -> int:
    """Any free port, for tests and tools."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
