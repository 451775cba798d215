"""What a start is asked to do: flags, or the environment variables of the same meaning."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.errors import EmbeddedError

REPOSITORY = Path(__file__).resolve().parents[2]
PORT, GATEWAY_PORT = 8000, 8100


@dataclass(frozen=True)
class Options:
    """`servers_only` leaves our own processes out; `throwaway` is for tests: fast, and the folder goes at the end when this start has made it."""

    data_dir: Path
    port: int = PORT
    gateway_port: int = GATEWAY_PORT
    servers_only: bool = False
    throwaway: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; each falls back to an environment variable, then to a default."""
    parser.add_argument("--data-dir", type=Path, help="where all data lies (DATA_DIR; default: .data in the repository)")
    parser.add_argument("--port", type=int, help=f"port of the dashboard and API (PORT; default: {PORT})")
    parser.add_argument("--gateway-port", type=int, help=f"port of the endpoint gateway (GATEWAY_PORT; default: {GATEWAY_PORT})")
    parser.add_argument("--servers-only", action="store_true", help="start PostgreSQL, Valkey and SeaweedFS only")
    parser.add_argument(
        "--throwaway", action="store_true", help="for tests: do not force data to disk, and delete a data folder that this start has made"
    )


def read_options(given: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> Options:
    """Options from parsed flags and the environment. Raises EmbeddedError for a port that is none."""
    data_dir = Path(str(given.get("data_dir") or environment.get("DATA_DIR") or REPOSITORY / ".data"))
    return Options(
        data_dir=data_dir.expanduser().resolve(),
        port=_port(given.get("port"), environment, "PORT", PORT),
        gateway_port=_port(given.get("gateway_port"), environment, "GATEWAY_PORT", GATEWAY_PORT),
        servers_only=bool(given.get("servers_only")),
        throwaway=bool(given.get("throwaway")),
    )


def _port(flag: object, environment: Mapping[str, str], variable: str, default: int) -> int:
    value = str(flag if flag is not None else environment.get(variable) or default)
    if not value.isdigit() or not 0 < int(value) < 65_536:
        raise EmbeddedError(f"{variable} is {value!r}: a port is a number from 1 to 65535.")
    return int(value)
