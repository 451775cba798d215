"""What one runtime is told at its start."""

import argparse
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Times are seconds, sizes are bytes unless the name says otherwise."""

    bundle: Path
    socket: Path
    workers: int = 1
    run_timeout: float = 900.0
    memory_mb: int | None = None
    storage_socket: Path | None = None
    storage_origin: str | None = None
    storage_limit: int = 10_240 * MEGABYTE
    queue_limit: int = 256
    held_input_limit: int = 512 * MEGABYTE
    body_limit: int = 128 * MEGABYTE
    kept_answer_limit: int = 256 * MEGABYTE
    kept_answer_seconds: float = 600.0
    load_timeout: float = 600.0
    drain_timeout: float = 20.0


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _positive_float(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _origin(text: str) -> str:
    return text.rstrip("/")


def parse_arguments(arguments: list[str]) -> Settings:
    """Read the command line; exits with a usage message when it is wrong."""
    parser = argparse.ArgumentParser(prog="runtime", description="Serve one workflow bundle over HTTP on a unix socket.")
    parser.add_argument("--bundle", type=Path, required=True, help="folder with workflow.json and plugins/Python/<name>/ (only read)")
    parser.add_argument("--socket", type=Path, required=True, help="path of the unix socket to listen on")
    parser.add_argument("--workers", type=_positive_int, default=1, help="engine processes, each runs one run at a time")
    parser.add_argument("--run-timeout", type=_positive_float, default=900.0, help="seconds until a run is stopped and fails")
    parser.add_argument("--memory-mb", type=_positive_int, default=None, help="private memory that one engine process may allocate")
    parser.add_argument("--storage-socket", type=Path, default=None, help="unix socket through which storage is reached")
    parser.add_argument("--storage-origin", type=_origin, default=None, help="the only origin that storage object URLs may have")
    parser.add_argument("--storage-limit-mb", type=_positive_int, default=10_240, help="storage objects that one run may bring, unpacked")
    parser.add_argument("--queue-limit", type=_positive_int, default=256, help="runs that may wait for a worker")
    parser.add_argument("--kept-answer-mb", type=_positive_int, default=256, help="finished answers kept for repeated requests")
    given = vars(parser.parse_args(arguments))
    kept_answer_limit = given.pop("kept_answer_mb") * MEGABYTE
    storage_limit = given.pop("storage_limit_mb") * MEGABYTE
    given["bundle"] = given["bundle"].absolute()
    return Settings(**given, kept_answer_limit=kept_answer_limit, storage_limit=storage_limit)
