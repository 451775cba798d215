"""The embedded stack from first to last: folder, secrets, servers, tables, our processes; then watch; then stop."""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from controlplane.embedded.applications import applications, inherited_environment, initial_step
from controlplane.embedded.datadir import DataDir, take_lock
from controlplane.embedded.environment import ADDRESS_OF, replaced_servers, settings_environment
from controlplane.embedded.errors import EmbeddedError, StepFailed, StopRequested
from controlplane.embedded.guard import run_guarded
from controlplane.embedded.options import Options
from controlplane.embedded.ports import inner_ports, require_free
from controlplane.embedded.postgres import postgres
from controlplane.embedded.probes import address_answers
from controlplane.embedded.secrets import load_secrets, write_private
from controlplane.embedded.servers import seaweedfs, valkey
from controlplane.embedded.service import Service
from controlplane.embedded.spawn import tail
from controlplane.embedded.stackfile import end_leftovers, write_stack
from controlplane.embedded.supervisor import Supervisor
from controlplane.embedded.waiting import Waiter

DEFAULT_PORTS = {"DATABASE_URL": 5432, "REDIS_URL": 6379, "S3_ENDPOINT_URL": 443}


def say(text: str) -> None:
    """Print a line at once; whoever reads may be gone."""
    try:
        print(text, flush=True)
    except OSError:
        # The standard stream is broken for good: without this the interpreter would complain once more at its end.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - lives as long as the process


def run_stack(options: Options) -> int:
    """Run until stopped; returns the exit status."""
    data = DataDir(options.data_dir)
    try:
        existed, had_data = data.root.exists(), data.has_data()
        data.create()
        take_lock(data, say=say)
        if not options.servers_only:
            require_free(options.port, flag="--port", variable="PORT")
            require_free(options.gateway_port, flag="--gateway-port", variable="GATEWAY_PORT")
        secrets = load_secrets(data.secrets, data_exists=had_data)
    except EmbeddedError as error:
        say(str(error))
        return 1
    front = os.getpid()
    status = run_guarded(lambda lifeline: _supervise(options, data=data, secrets=secrets, lifeline=lifeline, front=front))
    data.stack.unlink(missing_ok=True)
    if options.throwaway and not existed:
        shutil.rmtree(data.root)
    return status


def _supervise(options: Options, *, data: DataDir, secrets: Mapping[str, str], lifeline: int, front: int) -> int:
    waiter = Waiter(lifeline)
    ready = False

    def changed() -> None:
        write_stack(data, options=options, front=front, supervisor=os.getpid(), running=supervisor.running, ready=ready)

    supervisor = Supervisor(data, waiter=waiter, say=say, changed=changed)
    began = time.monotonic()
    try:
        _start(options, data=data, secrets=secrets, supervisor=supervisor)
        ready = True
        changed()
        say(f"ready http://127.0.0.1:{options.port}" if not options.servers_only else "ready")
        say(f"  started in {time.monotonic() - began:.1f} s; Ctrl-C stops everything; data stays in {data.root}")
        supervisor.watch()
    except StopRequested:
        pass
    except EmbeddedError as error:
        explain(error)
        return 1
    finally:
        supervisor.stop()
        say("stopped")
    return 0


def explain(error: EmbeddedError) -> None:
    """Say what failed, with the end of its log."""
    say(str(error))
    if isinstance(error, StepFailed):
        for line in tail(error.log):
            say(f"    {line}")
        say(f"The whole log: {error.log}")


def _start(options: Options, *, data: DataDir, secrets: Mapping[str, str], supervisor: Supervisor) -> None:
    """Everything up to readiness, in order."""
    say(f"Slipway, data in {data.root}")
    end_leftovers(data)
    ports = inner_ports(data.root)
    settings = settings_environment(options, data=data, ports=ports, secrets=secrets, given=os.environ)
    write_private(data.environment, json.dumps(settings, indent=2))
    for name, address in replaced_servers(os.environ).items():
        check_replaced(name, address)
    supervisor.start(own_servers(options, data=data, ports=ports, secrets=secrets, settings=settings))
    if options.servers_only:
        return
    environment = inherited_environment(settings)
    began = time.monotonic()
    supervisor.run_step(initial_step(environment))
    supervisor.report("prepare", "tables, bucket, keys", time.monotonic() - began)
    supervisor.start(applications(options, data=data, settings=settings, environment=environment))


def check_replaced(name: str, address: str) -> None:
    """Raise EmbeddedError when nothing answers at an address that was given. The address is not shown: it may hold a password."""
    variable = ADDRESS_OF[name]
    if not address_answers(address, DEFAULT_PORTS[variable]):
        raise EmbeddedError(f"{variable} is set, so {name} is not started here, but nothing answers at that address.")
    say(f"  {name:<12}at the address in {variable}")


def own_servers(
    options: Options, *, data: DataDir, ports: Mapping[str, int], secrets: Mapping[str, str], settings: Mapping[str, str]
) -> list[Service]:
    """The servers whose address was not given, in the order of their start."""
    replaced = replaced_servers(os.environ)
    services = []
    if "postgres" not in replaced:
        services.append(postgres(data, port=ports["postgres"], password=secrets["database_password"], throwaway=options.throwaway))
    if "valkey" not in replaced:
        services.append(valkey(data, port=ports["valkey"], password=secrets["valkey_password"], throwaway=options.throwaway))
    if "seaweedfs" not in replaced:
        keys = {"access_key": settings["S3_ACCESS_KEY"], "secret_key": settings["S3_SECRET_KEY"]}
        services.append(seaweedfs(data, ports=ports, bucket=settings["S3_BUCKET"], **keys))
    return services
