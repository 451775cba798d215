"""One replica: fetch its bundle, run its runtime, look after it, start it again when it dies, end it gently."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controlplane.common.errors import NotFound, SlipwayError
from deployments.providers.base import Phase, ReplicaSpec
from deployments.providers.local import limits
from deployments.providers.local.bundle_cache import BadBundle
from deployments.providers.local.host import Host
from deployments.providers.local.limits import Cage, Limits
from deployments.providers.local.logfile import LogWriter
from deployments.providers.local.probe import get_health
from deployments.providers.local.relay import Relay
from deployments.providers.local.removal import remove_tree
from deployments.providers.local.sandbox import launch_command

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 25.0
START_POLL_SECONDS = 0.02
HEALTH_SECONDS = 5.0
HEALTH_FAILURES = 3
FIRST_BACKOFF = 0.1
LAST_BACKOFF = 10.0
LONG_LIFE_SECONDS = 10.0
STARTS_BEFORE_FAILED = 3


class Replica:
    """A supervised runtime. `run()` is its life; `stop()` ends it. The socket keeps its path across restarts."""

    def __init__(self, spec: ReplicaSpec, host: Host, *, uid: int | None) -> None:
        self.spec = spec
        self.host = host
        self.uid = uid
        self.short = hashlib.sha256(spec.name.encode()).hexdigest()[:10]
        self.folder = host.folders.run / self.short
        self.memory_mb = min(spec.ram_mb, limits.total_memory_mb())
        self.phase = Phase.STARTING
        self.detail = ""
        self.passing = False
        self.restarts = 0
        self.was_ready = False
        self.billed_from: datetime | None = None
        self.cage = Cage()
        self.relay = Relay(self.folder / "storage.sock", host.origin)
        self.process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None
        self.log = LogWriter(host.folders.logs, spec.name)

    @property
    def socket(self) -> Path:
        """Return where the runtime listens."""
        return self.folder / "run.sock"

    def over(self) -> bool:
        """Tell whether the runtime is not to be started again."""
        return self.phase in {Phase.FAILED, Phase.STOPPING}

    def state(self) -> dict[str, Any]:
        """Return the answer of the agent's API."""
        return {
            "name": self.spec.name,
            "phase": self.phase.value,
            "address": f"unix:{self.socket}",
            "workers": self.host.workers(self.spec.vcpu),
            "detail": self.detail,
            "passing": self.passing,
            "restarts": self.restarts,
            "isolation": self.host.isolation,
            "billed_from": self.billed_from.isoformat() if self.billed_from else None,
        }

    def start(self) -> None:
        """Begin the replica's life."""
        self.task = asyncio.create_task(self.run(), name=self.spec.name)

    async def run(self) -> None:
        """Live until stopped or failed for good."""
        try:
            bundle = await self.fetch()
            self.prepare_folder()
            await self.relay.open(uid=self.uid)
            await self.keep_running(bundle)
        except (BadBundle, NotFound) as error:
            self.fail(str(error))
        except OSError as error:
            self.fail(f"This machine could not start it: {error}", passing=True)
        except Exception as error:  # nobody would see it: whoever asks is to hear of an end, and may try elsewhere
            logger.exception("%s ended with a fault of the agent", self.spec.name)
            self.fail(f"This machine could not start it: {type(error).__name__}: {error}", passing=True)
        finally:
            self.relay.close()
            await self.end_processes()

    async def fetch(self) -> Path:
        """Return the bundle's folder; while the object store does not answer, try again with a growing pause."""
        pause = FIRST_BACKOFF
        while True:
            try:
                return await asyncio.to_thread(self.host.bundles.ensure, self.spec.bundle)
            except NotFound:
                raise
            except SlipwayError as error:
                self.detail = error.detail
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_BACKOFF)

    async def keep_running(self, bundle: Path) -> None:
        """Start the runtime again and again: at once after a long life, with a growing pause after short ones."""
        pause = FIRST_BACKOFF
        early_deaths = 0
        loop = asyncio.get_running_loop()
        while not self.over():
            born = loop.time()
            process = await self.spawn(bundle)
            why = await self.watch(process)
            await self.end_processes()
            early_deaths = 0 if self.was_ready else early_deaths + 1
            if self.over():
                return
            if early_deaths >= STARTS_BEFORE_FAILED:
                self.fail(f"{why} {early_deaths} times before it was ready. The log has what it printed.")
                return
            self.phase = Phase.STARTING
            self.restarts += 1
            self.log.note("ERROR", f"{why}; starting it again (restart {self.restarts}). Runs in hand begin anew.")
            pause = 0.0 if loop.time() - born > LONG_LIFE_SECONDS else min(max(pause * 2, FIRST_BACKOFF), LAST_BACKOFF)
            await asyncio.sleep(pause)

    async def spawn(self, bundle: Path) -> asyncio.subprocess.Process:
        """Start the runtime in a session, a cage and a folder of its own."""
        self.prepare_folder()
        cpus = self.spec.vcpu if self.spec.vcpu < self.host.cores else None
        self.cage = self.host.limiter.make_cage(self.short, Limits(memory_mb=self.memory_mb, cpus=cpus))
        arguments = self.host.arguments(bundle=bundle, folder=self.folder, vcpu=self.spec.vcpu, memory_mb=self.memory_mb)
        command = launch_command(
            self.host.sandbox.command(arguments, bundle=bundle, folder=self.folder),
            environment=self.host.environment(folder=self.folder, vcpu=self.spec.vcpu),
            folder=self.folder,
            uid=self.uid,
            cgroups=self.cage.folders,
            cpus=None if self.cage.folders or cpus is None else sorted(os.sched_getaffinity(0))[:cpus],
        )
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
        )
        return self.process

    def prepare_folder(self) -> None:
        """Make the private folder of sockets and HOME, owned by the runtime's user; what a former process left is cleared."""
        self.socket.unlink(missing_ok=True)
        home = self.folder / "home"
        remove_tree(home)
        home.mkdir(parents=True)
        for path in (self.folder, home):
            path.chmod(0o700)
            if self.uid is not None:
                os.chown(path, self.uid, self.uid)

    async def watch(self, process: asyncio.subprocess.Process) -> str:
        """Return why the runtime is not running any more."""
        capture = asyncio.create_task(self.capture(process))
        health = asyncio.create_task(self.look_after(process))
        try:
            code = await process.wait()
            # A grandchild may hold the pipe open: what is in it now is all that counts.
            await asyncio.wait({capture}, timeout=0.5)
        finally:
            capture.cancel()
            health.cancel()
            self.log.end()
        return how_it_ended(code)

    async def capture(self, process: asyncio.subprocess.Process) -> None:
        """Copy what the runtime prints into the log."""
        assert process.stdout is not None  # noqa: S101
        while data := await process.stdout.read(65536):
            self.log.feed(data)

    async def look_after(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the runtime is ready, then see that it stays alive; kill it when it has failed or hangs."""
        answer: dict[str, Any] | None = None
        while answer is None or answer.get("status") == "starting":
            await asyncio.sleep(START_POLL_SECONDS)
            answer = await get_health(self.socket, seconds=HEALTH_SECONDS)
        if self.over():
            return
        if answer.get("status") == "failed" and not self.was_ready:
            self.fail(str(answer.get("detail", "The workflow could not be loaded.")))
            self.kill()
            return
        self.was_ready = True
        self.phase, self.detail = Phase.READY, ""
        self.billed_from = self.billed_from or datetime.now(UTC)
        failures = 0
        while failures < HEALTH_FAILURES:
            await self.pause_and_watch_memory(HEALTH_SECONDS)
            failures = 0 if await get_health(self.socket, seconds=HEALTH_SECONDS) else failures + 1
        self.log.note("ERROR", f"The runtime has not answered for {HEALTH_FAILURES} health checks and is killed.")
        self.kill()

    async def pause_and_watch_memory(self, seconds: float) -> None:
        """Wait; where no cgroup holds the limit, look at the memory in use each second and kill the largest process over it."""
        if self.cage.folders:
            await asyncio.sleep(seconds)
            return
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            sizes = {pid: limits.memory_of(pid) for pid in self.pids()}
            if sum(sizes.values()) > self.memory_mb * limits.MEGABYTE:
                largest = max(sizes, key=lambda pid: sizes[pid])
                self.log.note("ERROR", f"The replica uses more than its {self.memory_mb} MB: its largest process is killed.")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(largest, signal.SIGKILL)

    def fail(self, detail: str, *, passing: bool = False) -> None:
        """Give up: the reason is shown to the user. `passing`: it is this machine's fault, so that another attempt may do better."""
        self.phase, self.detail, self.passing = Phase.FAILED, detail, passing
        self.log.note("ERROR", detail)

    def pids(self) -> set[int]:
        """Return the replica's live processes."""
        if self.cage.folders:
            return self.cage.pids()
        return limits.session_pids(self.process.pid) if self.process else set()

    def kill(self) -> None:
        """Kill every process of the replica."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def end_processes(self) -> None:
        """Make sure that nothing of the runtime is left, and take its cage down."""
        for _ in range(200):
            self.kill()
            if not self.pids() and self.cage.remove():
                break
            await asyncio.sleep(0.01)
        self.cage = Cage()

    async def stop(self) -> None:
        """Let runs in hand finish (25 seconds at most), then end it and remove its folder. The log stays."""
        self.phase = Phase.STOPPING
        if self.task is not None and not self.task.done():
            if self.process is not None and self.process.returncode is None:
                terminate(self.process.pid)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(DRAIN_SECONDS):
                        await self.process.wait()
            self.task.cancel()
            await asyncio.wait({self.task})
        await asyncio.to_thread(remove_tree, self.folder)
        self.log.close()


def terminate(pid: int) -> None:
    """Send SIGTERM to the runtime itself: bubblewrap, which may stand in front of it twice, does not pass signals on."""
    with contextlib.suppress(OSError, ValueError, ProcessLookupError):
        while Path(f"/proc/{pid}/comm").read_text().strip() == "bwrap":
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if not children:
                break
            pid = int(children[0])
        os.kill(pid, signal.SIGTERM)


def how_it_ended(code: int) -> str:
    """Say how a runtime ended: by a signal (a sandbox tells that as 128 and the signal's number, as shells do) or with a code."""
    number = -code if code < 0 else code - 128
    if number in {one.value for one in signal.Signals}:
        return f"The runtime was killed by {signal.Signals(number).name}"
    return f"The runtime ended with code {code}"
