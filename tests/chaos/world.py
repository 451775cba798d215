"""A simulated installation: users, workers that die or are stopped, a faulty cloud, a clock that only the simulation moves.

Real: PostgreSQL, Valkey, object store, the reconciler and every service. Not real: time, the cloud, and that workers take turns in one
process: "kill -9" leaves a step at a boundary as a killed process would (nothing is cleaned up), "SIGSTOP" lets others work past its lease
in the middle of it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, connections

from billing import checkpoints as money
from billing.funding import review_times
from billing.grants import grant_credits
from billing.metering import meter
from billing.models import GrantSource
from billing.wallets import wallet_of
from controlplane.accounts.models import User
from controlplane.common.errors import SlipwayError
from controlplane.common.ids import uuid7
from controlplane.common.valkey import valkey
from controlplane.embedded.datadir import DataDir
from controlplane.projects.models import Workflow
from deployments import checkpoints
from deployments.bundles.build import build_for_waiting
from deployments.funding import compare_all, follow_funding
from deployments.leases import LEASE
from deployments.models import Deployment, Replica
from deployments.reconcile.demand import WAKE, follow_demand
from deployments.reconcile.loop import HANDED_OUT, follow_hint, take_due
from deployments.reconcile.overdue import tell_overdue
from deployments.reconcile.sweep import sweep_providers
from deployments.routing import repair_routes
from deployments.services import (
    configure_deployment,
    delete_deployment,
    pause_deployment,
    request_deployment,
    restart_deployment,
    resume_deployment,
    roll_back_deployment,
    update_deployment,
)
from deployments.states import ReplicaStatus
from tests import servers
from tests.deployments.builders import make_owner, make_workflow, push
from tests.fakes.cloud import FakeCloud, Temper

# With servers of its own, PostgreSQL itself is restarted now and then; else only the session of the worker is ended.
RESTARTS = bool(os.environ.get("CHAOS_RESTARTS"))
SIZES = ["S", "M", "L"]
LATEST = timedelta(minutes=15)
# Boundaries that few seeds pass.
RARE = {"suspended", "stuck_told"}
# AWS CLUSTER M, in micro-credits a second.
RATE = 15_320
WILD = Temper(
    boot=(1.0, 40.0),
    end=(0.5, 30.0),
    visible_after=(0.0, 20.0),
    errored=0.12,
    no_capacity=0.1,
    refuse_end=0.15,
    flap=0.05,
    preempt=0.1,
    throttle=0.06,
    hang=0.03,
    stubborn=0.03,
)
CALM = Temper(boot=(1.0, 5.0), end=(0.5, 5.0))
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Killed(BaseException):
    """Stands for `kill -9`: nothing catches it, so nothing is cleaned up."""


@dataclass
class World:
    """One seed's installation. `log` tells what happened, to read when a seed fails."""

    seed: int
    now: datetime = START
    faulty: bool = True
    killed_at: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    wakeups: list[UUID] = field(default_factory=list)
    builds: list[UUID] = field(default_factory=list)
    depth: int = 0
    due_sweep: datetime = START
    due_demand: datetime = START
    due_overdue: datetime = START
    due_meter: datetime = START
    due_funding: datetime = START

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.cloud = FakeCloud(random.Random(self.seed + 1), WILD, nap=self.advance)
        self.owner: User = make_owner()
        self.workflows: list[Workflow] = [make_workflow(self.owner)]
        self.deployments: list[UUID] = []

    @property
    def backend(self) -> str:
        """The name that the cloud is registered under."""
        return f"chaos{self.seed}"

    def note(self, text: str) -> None:
        self.log.append(f"{(self.now - START).total_seconds():9.2f} {'  ' * self.depth}{text}")

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def wake(self, pk: UUID, **_: Any) -> None:
        """A hint: lost, doubled, or delivered."""
        self.wakeups += [pk] * self.rng.choice([0, 1, 1, 1, 2])

    def ask_builders(self, version_id: UUID) -> None:
        """A hint to the builders, likewise."""
        self.builds += [version_id] * self.rng.choice([0, 1, 1, 1, 2])

    # Faults at the boundaries of steps.

    def boundary(self, name: str) -> None:
        """Kill, stop, or cut off the worker that passes a boundary, by chance."""
        if not self.faulty or self.depth > 2:
            return
        draw = self.rng.random()
        if draw < (0.5 if name in RARE else 0.08):
            self.killed_at[name] += 1
            self.note(f"kill -9 at {name}")
            raise Killed(name)
        if draw < 0.105:
            self.note(f"SIGSTOP at {name}, past the lease")
            self.advance(LEASE.total_seconds() + 1)
            self.work()
            self.note(f"SIGCONT at {name}")
        elif draw < 0.115:
            self.note(f"PostgreSQL restarts at {name}")
            if RESTARTS and self.rng.random() < 0.2:
                restart_postgres()
            else:
                cut_connection()

    def act(self, what: str, action: Callable[[], Any]) -> None:
        """Let a worker do something and meet its fate."""
        self.depth += 1
        try:
            action()
        except Killed:
            pass
        except (OperationalError, InterfaceError) as error:
            self.note(f"{what}: {type(error).__name__}")
            connection.close()
        finally:
            self.depth -= 1

    def work(self) -> None:
        """What beat hands out, and the hints, in any order."""
        until = self.now + HANDED_OUT
        due: list[tuple[UUID, datetime | None]] = []
        self.act("beat", lambda: due.extend((pk, until) for pk in take_due(until)))
        due += [(pk, None) for pk in self.wakeups]
        self.wakeups.clear()
        self.rng.shuffle(due)
        for pk, handed_out in due:
            self.act(f"reconcile {pk}", partial(follow_hint, pk, handed_out=handed_out))
        builds, self.builds = self.builds, []
        for version_id in builds:
            self.act(f"build {version_id}", partial(build_for_waiting, version_id))

    def beat(self) -> None:
        """The periodic tasks, each when its time has come."""
        if self.now >= self.due_demand:
            self.due_demand = self.now + timedelta(seconds=1)
            self.act("demand", follow_demand)
        if self.now >= self.due_sweep:
            self.due_sweep = self.now + timedelta(seconds=10)
            self.act("sweep", sweep_providers)
            self.act("routes", repair_routes)
        if self.now >= self.due_overdue:
            self.due_overdue = self.now + timedelta(minutes=1)
            self.act("overdue", tell_overdue)
        if self.now >= self.due_meter:
            self.due_meter = self.now + timedelta(minutes=1)
            self.act("meter", meter)
            self.act("funding", review_times)
            self.act("compare", compare_all)
        if self.now >= self.due_funding:
            self.due_funding = self.now + timedelta(seconds=5)
            self.act("follow funding", follow_funding)
        self.work()

    def pay(self, minutes: int) -> None:
        """Credits come in, for so many minutes of the instances that are deployed here."""
        grant_credits(wallet_id=self.wallet.pk, amount=minutes * 60 * RATE, key=str(uuid7()), source=GrantSource.OPERATOR)

    # What users do.

    def use(self) -> None:
        """One thing that a user does; a refusal is an answer too."""
        if not self.deployments or (len(self.deployments) < 4 and self.rng.random() < 0.4):
            wish, call = "deploy", self.deploy
        else:
            pk = self.rng.choice(self.deployments)
            wish, call = self.rng.choice(self.wishes(pk))
            self.note(f"{wish} {pk}")
        try:
            call()
        except SlipwayError as refusal:
            self.note(f"refused: {refusal.code}")
        except (OperationalError, InterfaceError) as error:
            # The session was ended while nobody asked anything.
            self.note(f"{wish}: {type(error).__name__}")
            connection.close()

    def wishes(self, pk: UUID) -> list[tuple[str, Callable[[], Any]]]:
        """What can be wished of a deployment."""
        who: dict[str, Any] = {"actor": self.owner, "deployment_id": pk}
        most = self.rng.randint(1, 3)
        return [
            ("update", lambda: update_deployment(**who)),
            ("push and update", lambda: (push(self.rng.choice(self.workflows)), update_deployment(**who))),
            ("resize", lambda: update_deployment(**who, size=self.rng.choice(SIZES))),
            ("roll back", lambda: roll_back_deployment(**who)),
            ("restart", lambda: restart_deployment(**who)),
            ("pause", lambda: pause_deployment(**who)),
            ("resume", lambda: resume_deployment(**who)),
            ("resume", lambda: resume_deployment(**who)),
            ("configure", lambda: configure_deployment(**who, min_replicas=self.rng.randint(1, most), max_replicas=most)),
            ("call", lambda: valkey().sadd(WAKE, str(pk))),
            ("delete", lambda: delete_deployment(**who)),
            ("pay", lambda: self.pay(self.rng.choice([5, 40, 1000]))),
        ]

    def deploy(self) -> None:
        flavour, size = self.rng.choice([("CLUSTER", "M"), ("SERVERLESS", "S")])
        made = request_deployment(
            actor=self.owner, workflow_id=self.workflows[0].pk, provider="AWS", region="FRANCE", flavour=flavour, size=size
        )
        Deployment.objects.filter(pk=made.pk).update(backend=self.backend, idle_seconds=60 if flavour == "SERVERLESS" else 0)
        self.deployments.append(made.pk)
        self.note(f"deploy {made.pk} {flavour}")

    # The run.

    def live(self, minutes: float) -> None:
        """Let users, workers, the cloud and faults have their way."""
        end = self.now + timedelta(minutes=minutes)
        while self.now < end:
            if self.rng.random() < 0.18:
                self.use()
            if self.rng.random() < 0.01:
                self.note("Valkey is emptied")
                valkey().flushdb()
            self.beat()
            self.advance(self.rng.uniform(0.2, 6.0))

    def calm_down(self, minutes: float) -> None:
        """No new wishes and no new faults: what is under way comes to its end. Credits may run out at any moment: what begins then ends, too."""
        self.note("calm")
        self.faulty = False
        self.cloud.temper = CALM
        end = self.now + timedelta(minutes=minutes)
        while self.now < end or (self.now < end + LATEST and self.comes_or_goes()):
            self.beat()
            self.advance(2.0 if self.under_way() else 30.0)

    def comes_or_goes(self) -> bool:
        """Tell whether there is an instance that starts or leaves."""
        rows = Replica.objects.filter(backend=self.backend)
        return rows.exclude(status__in=[ReplicaStatus.SERVING, ReplicaStatus.TERMINATED]).exists()

    def under_way(self) -> bool:
        """Tell whether something is looked at soon."""
        return bool(Deployment.objects.filter(next_check_at__lte=self.now + timedelta(seconds=60)).exists())

    def install(self, monkeypatch: Any, drivers: dict[str, Any]) -> None:
        """Put clock, cloud, hints and boundaries in place."""
        monkeypatch.setattr("controlplane.common.clock.now", lambda: self.now)
        monkeypatch.setattr("django.utils.timezone.now", lambda: self.now)
        monkeypatch.setattr("deployments.wakeups.send_wakeup", self.wake)
        monkeypatch.setattr("deployments.wakeups.send_build", self.ask_builders)
        for module in ("demand", "sweep"):
            monkeypatch.setattr(f"deployments.reconcile.{module}.send_wakeup", self.wake)
        monkeypatch.setattr(checkpoints, "hook", self.boundary)
        monkeypatch.setattr(money, "hook", self.boundary)
        monkeypatch.setattr("billing.funding.send_task", lambda *_, **__: None)
        self.wallet = wallet_of(self.owner.namespaces.get(parent=None))
        # Some have more than they can spend, the others come to the end of it, maybe several times.
        self.pay(self.rng.choice([10_000, 10_000, 20, 60]))
        drivers.clear()
        drivers[self.backend] = lambda: self.cloud


def restart_postgres() -> None:
    """Stop the server, whose supervisor starts it again, and wait until it answers. Only where this process alone uses it."""
    assert servers.servers is not None
    lock = DataDir(servers.servers.folder).postgres / "postmaster.pid"
    former = int(lock.read_text().split()[0])
    os.kill(former, signal.SIGINT)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if int(lock.read_text().split()[0]) != former:
                probe = connections.create_connection("default")
                probe.ensure_connection()
                probe.close()
                return
        except (OSError, ValueError, IndexError, OperationalError):
            pass
        time.sleep(0.02)
    raise AssertionError("PostgreSQL did not come back")


def cut_connection() -> None:
    """End this process's database session from outside, which is what a restart of PostgreSQL is to it."""
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        other.close()
