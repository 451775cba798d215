"""Our own processes: agent, web, gateway, worker, builder, meter, beat. Add one here and in docker-compose.yml."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.options import REPOSITORY, Options
from controlplane.embedded.probes import log_says, socket_answers, web_answers
from controlplane.embedded.service import Probe, Program, Service, alive
from controlplane.embedded.spawn import log_path

# Large buffers go back to the system when they are free, and threads share one heap: 10 % of the memory of a process that passes files.
FLAT_BUFFERS = ("--http1-buffer-size", "65536")
FLAT_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "262144"}


def initial_step(environment: Mapping[str, str]) -> Program:
    """What must have run before any of our processes starts: tables, bucket and signing key."""
    command = [sys.executable, "-m", "controlplane.embedded.initialise"]
    return Program(name="prepare", command=command, environment=environment, folder=REPOSITORY)


def applications(options: Options, *, data: DataDir, settings: Mapping[str, str], environment: Mapping[str, str]) -> list[Service]:
    """Our processes in the order of their start. `environment` holds the settings and all else that they inherit."""
    service = partial(_python, environment=environment)
    worker_log, builder_log, meter_log = (log_path(data.logs, name) for name in ("worker", "builder", "meter"))
    return [
        service(
            "agent",
            ["-m", "deployments.providers.local.agent"],
            address=settings["AGENT_SOCKET"],
            probe=socket_answers(Path(settings["AGENT_SOCKET"])),
            stop_seconds=25.0,
        ),
        service(
            "web",
            granian_words(options.port, workers=environment.get("WEB_WORKERS", "1")),
            environment={**FLAT_MEMORY, **environment},
            address=settings["PUBLIC_URL"],
            # Any answer of the application will do, a refusal too.
            probe=web_answers(options.port, "/healthz", accepted=lambda status: status < 500),
        ),
        service(
            "gateway",
            ["-m", "gateway"],
            address=settings["GATEWAY_URL"],
            probe=web_answers(options.gateway_port, "/healthz"),
            stop_seconds=25.0,
        ),
        service("worker", worker_words(concurrency=environment.get("WORKER_CONCURRENCY", "4")), probe=log_says(worker_log, " ready.")),
        service("builder", builder_words(concurrency=environment.get("BUILD_CONCURRENCY", "2")), probe=log_says(builder_log, " ready.")),
        service("meter", meter_words(), probe=log_says(meter_log, "meter ready.")),
        service("beat", beat_words(data), stop_seconds=3.0),
    ]


def granian_words(port: int, *, workers: str) -> list[str]:
    """One worker process is enough for one machine's people; WEB_WORKERS raises it. A thread for each upload and download (storage/slots.py), and
    16 that stay free."""
    listen = ["--host", "127.0.0.1", "--port", str(port), "--workers", workers, "--blocking-threads", "56", "--no-ws", *FLAT_BUFFERS]
    lifetime = ["--respawn-failed-workers", "--workers-kill-timeout", "8"]
    return ["-m", "granian", "--interface", "wsgi", *listen, *lifetime, "controlplane.wsgi:application"]


def builder_words(*, concurrency: str) -> list[str]:
    """A worker that does nothing but build bundles."""
    return [*worker_words(concurrency=concurrency, name="builder"), "-Q", "slipway-builds"]


def meter_words() -> list[str]:
    """The process that charges."""
    return ["manage.py", "meter"]


def worker_words(*, concurrency: str, name: str = "slipway") -> list[str]:
    """Threads: tasks wait for clouds and databases, and one process keeps the memory small. Nobody else's worker is there to talk to."""
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [
        "-m",
        "celery",
        "-A",
        "controlplane",
        "worker",
        "--pool",
        "threads",
        "--concurrency",
        concurrency,
        "-n",
        f"{name}@%h",
        "-l",
        "INFO",
        *lean,
    ]


def beat_words(data: DataDir) -> list[str]:
    """The time of each last run is kept in the data folder."""
    return ["-m", "celery", "-A", "controlplane", "beat", "--schedule", str(data.run / "celerybeat-schedule"), "--pidfile=", "-l", "INFO"]


def inherited_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The person's environment with our settings over it."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "controlplane.settings", "PYTHONUNBUFFERED": "1", **settings}


def _python(
    name: str, words: list[str], *, environment: Mapping[str, str], address: str = "", probe: Probe = alive, stop_seconds: float = 10.0
) -> Service:
    return Service(
        name=name,
        command=[sys.executable, *words],
        environment=environment,
        folder=REPOSITORY,
        address=address,
        probe=probe,
        stop_seconds=stop_seconds,
    )
