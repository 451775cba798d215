"""Valkey and SeaweedFS, started from the programs that their wheels bring (PostgreSQL has a module of its own)."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path

from controlplane.embedded.datadir import DataDir
from controlplane.embedded.packages import plain_environment, valkey_program, weed_program
from controlplane.embedded.probes import objects_writable, valkey_ready
from controlplane.embedded.secrets import write_private
from controlplane.embedded.service import Service

GO_MEMORY_LIMIT = "256MiB"
# It stops in about a second, or now and then in thirty; killed, it has all its data at the next start.
SEAWEEDFS_STOP_SECONDS = 3.0


def valkey(data: DataDir, *, port: int, password: str, throwaway: bool) -> Service:
    """Valkey with an append-only file, so that the queue and the runs in flight outlive it. The password is in a private file, not in the command."""
    lines = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "appendonly": "no" if throwaway else "yes",
        "save": '""',
        "dir": json.dumps(str(data.valkey)),
        "databases": 64,
        "maxmemory-policy": "noeviction",
    }
    configuration = data.valkey / "valkey.conf"
    write_private(configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))
    return Service(
        name="valkey",
        command=[valkey_program(), configuration],
        environment=plain_environment(),
        folder=data.valkey,
        address=f"127.0.0.1:{port}",
        probe=valkey_ready(port, password),
    )


# Where SeaweedFS puts sockets named after its ports for gRPC, whatever the temporary folder is.
SOCKETS = Path("/tmp")  # noqa: S108
GRPC_OFFSET = 10_000


def seaweedfs(data: DataDir, *, ports: Mapping[str, int], access_key: str, secret_key: str, bucket: str) -> Service:
    """SeaweedFS with its S3 door on this machine only. Every flag is given at every start, since it remembers those of the last one."""
    folder = data.seaweedfs
    keys = [{"accessKey": access_key, "secretKey": secret_key}]
    identity = {"name": "app", "credentials": keys, "actions": ["Admin", "Read", "List", "Tagging", "Write"]}
    write_private(folder / "s3.json", json.dumps({"identities": [identity]}))
    flags = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "admin.ui": "false",
        "webdav": "false",
        "s3.config": folder / "s3.json",
        "s3.localSocket": data.run / "s3.sock",
        "filer.localSocket": data.run / "filer.sock",
        "s3.port": ports["s3"],
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.port": ports["master"],
        # The one master learns all it needs from its volumes; remembered elections now and then cost five seconds.
        "master.resumeState": "false",
        "filer.port": ports["filer"],
        "volume.port": ports["volume"],
        "admin.port": ports["admin"],
        "volume.preStopSeconds": 0,
    }
    return Service(
        name="seaweedfs",
        command=[weed_program(), "mini", "-disableHttp", *(f"-{name}={value}" for name, value in flags.items())],
        environment=plain_environment(HOME=str(folder), TMPDIR=str(data.run), GOMEMLIMIT=GO_MEMORY_LIMIT),
        folder=folder,
        litter=[SOCKETS / f"seaweedfs-{part}-grpc-{port + GRPC_OFFSET}.sock" for part, port in ports.items()],
        address=f"127.0.0.1:{ports['s3']}",
        probe=objects_writable(ports["s3"], access_key=access_key, secret_key=secret_key, bucket=bucket),
        death_signal=signal.SIGKILL,
        stop_seconds=SEAWEEDFS_STOP_SECONDS,
    )
