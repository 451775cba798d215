"""run/stack.json: which processes make up the running stack, for tests and tools. Also how what a dead stack left is found."""

import json
import signal
import time
from collections.abc import Iterable
from typing import Any

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.options import Options
from controlplane.embedded.processes import process_info, signal_all
from controlplane.embedded.secrets import write_private
from controlplane.embedded.supervisor import Running

LEFTOVERS_END_WITHIN_SECONDS = 5.0


def write_stack(data: DataDir, *, options: Options, front: int, supervisor: int, running: Iterable[Running], ready: bool) -> None:
    """Describe the present state. `started` is the kernel's start time of the process, which tells a reused pid."""
    processes = {}
    for one in running:
        info = process_info(one.process.pid)
        state = "waiting" if one.restart_at is not None else "ready" if one.ready else "starting"
        processes[one.service.name] = {
            "pid": one.process.pid,
            "started": info.started if info else None,
            "state": state,
            "address": one.service.address,
            "log": str(data.logs / f"{one.service.name}.log"),
        }
    description = {
        "ready": ready,
        "pid": front,
        "supervisor": supervisor,
        "url": f"http://127.0.0.1:{options.port}",
        "gateway_url": f"http://127.0.0.1:{options.gateway_port}",
        "data_dir": str(data.root),
        "processes": processes,
    }
    write_private(data.stack, json.dumps(description, indent=2))


def read_stack(data: DataDir) -> dict[str, Any]:
    """The last description; empty when the stack was stopped in order."""
    try:
        description: dict[str, Any] = json.loads(data.stack.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return description


def end_leftovers(data: DataDir) -> None:
    """End processes of an earlier stack that still run although its supervisor is gone. The lock must be held."""
    entries = read_stack(data).get("processes", {}).values()
    deadline = time.monotonic() + LEFTOVERS_END_WITHIN_SECONDS
    while left := [entry["pid"] for entry in entries if _same_process(entry)]:
        if time.monotonic() > deadline:
            signal_all(left, signal.SIGKILL)
        time.sleep(0.05)


def _same_process(entry: dict[str, Any]) -> bool:
    info = process_info(entry["pid"])
    return info is not None and info.state not in "ZX" and info.started == entry["started"]
