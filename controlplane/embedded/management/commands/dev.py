"""`manage.py dev`: the whole service on this machine."""

import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from controlplane.embedded.options import REPOSITORY, add_arguments


def first_environment() -> dict[str, str]:
    """The environment that this process was started with: settings add addresses of the last start to os.environ, which must not count as given."""
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    pairs = (part.split(b"=", 1) for part in raw.split(b"\0") if b"=" in part)
    return {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}


class Command(BaseCommand):
    """Hands over to the supervisor, in the same process but without Django: it stays small, and forks quickly."""

    help = "Run PostgreSQL, Valkey, SeaweedFS and all processes of the service in the foreground."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        words = [
            f"--{name.replace('_', '-')}={options[name]}" for name in ("data_dir", "port", "gateway_port") if options[name] is not None
        ]
        words += [f"--{name.replace('_', '-')}" for name in ("servers_only", "throwaway") if options[name]]
        environment = first_environment()
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPOSITORY), environment.get("PYTHONPATH")]))
        os.execve(sys.executable, [sys.executable, "-m", "controlplane.embedded", *words], environment)  # noqa: S606 - no shell is wanted
