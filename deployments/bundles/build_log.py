"""The log of a build: shown while it is written, kept with the bundle, and read by every deployment of the version exactly once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F, Func, IntegerField, QuerySet

from controlplane.common import clock
from controlplane.projects.models import WorkflowVersion
from deployments.errors import BuildDelayed
from deployments.logs import NewLine, append_lines
from deployments.models import BuildListener, Bundle, Deployment
from deployments.states import Status
from deployments.wakeups import wake_on_commit

BATCH_SECONDS = 0.25
# A worker that is silent for so long is taken for dead: another one may begin. Shorter than the lease of a deployment.
BUILD_LEASE = timedelta(seconds=40)
RENEW_SECONDS = 10.0
LONGEST_PAUSE = 60
MAX_LINES = 5000
LINES_OF_BUNDLE = Func(F("bundle__log"), function="jsonb_array_length", output_field=IntegerField())


class BuildLog:
    """The right to build a version, and the lines of doing so: [milliseconds since 1970, level, message]."""

    def __init__(self, bundle: Bundle, version: WorkflowVersion, *, again: bool, alive: Callable[[], None]) -> None:
        self.bundle = bundle
        self.alive = alive
        self.token = bundle.build_token
        self.kept = 0
        self.flushed_at = self.renewed_at = time.monotonic()
        what = f"{version.workflow.name} {version.tag} (archive {version.archive_sha256[:12]}, {version.archive_size} bytes)"
        first = f"Building again: {what}; the build before did not come to an end" if again else f"Building {what}"
        self.lines: list[list[int | str]] = [[time.time_ns() // 1_000_000, "INFO", first]]
        self.flush()

    def note(self, message: str, level: str = "INFO") -> None:
        """Add a line; it is shown with the next batch."""
        if len(self.lines) < MAX_LINES:
            self.lines.append([time.time_ns() // 1_000_000, level, message])
        self.tick()

    def tick(self) -> None:
        """Show what is new, about each 250 ms, and keep the right to build. Called all the time while a build goes on."""
        now = time.monotonic()
        if now - self.flushed_at > BATCH_SECONDS and self.kept < len(self.lines):
            self.flush()
        if now - self.renewed_at > RENEW_SECONDS:
            self.renewed_at = now
            self.mine().update(build_expires_at=clock.now() + BUILD_LEASE)
            self.alive()

    def mine(self) -> QuerySet[Bundle]:
        """Return the bundle's row as long as no other worker has begun to build it."""
        return Bundle.objects.filter(pk=self.bundle.pk, build_token=self.token)

    def flush(self) -> None:
        """Keep the lines, and put them into the logs of the deployments that wait for this build."""
        self.flushed_at = time.monotonic()
        if self.mine().update(log=self.lines):
            self.kept = len(self.lines)
            show_to_waiting(self.bundle)

    def finish(self, **fields: Any) -> None:
        """Write what came of it, and let go. A bundle that was built counts even if another worker has begun to build it meanwhile: it will be the same."""
        rows = Bundle.objects.filter(pk=self.bundle.pk) if fields.get("digest") else self.mine()
        rows.update(log=self.lines, build_token=None, build_expires_at=None, finished_at=clock.now(), **fields)
        self.kept = len(self.lines)

    def delay(self, code: str, detail: str) -> None:
        """Let go for a while that doubles with each attempt, up to a minute; the reason is told to whoever asks meanwhile."""
        pause = timedelta(seconds=min(LONGEST_PAUSE, 2**self.bundle.attempt))
        self.mine().update(log=self.lines, build_token=None, build_expires_at=clock.now() + pause, reason_code=code, reason_detail=detail)
        show_to_waiting(self.bundle)


def begin_build(version: WorkflowVersion, alive: Callable[[], None] = lambda: None) -> BuildLog | None:
    """Take the right to build a version, None when it has been built meanwhile; `alive` is called every 10 s while the build goes on.

    Raises BuildDelayed while another worker builds it, or while a pause after a fault lasts.
    """
    now = clock.now()
    with transaction.atomic():
        Bundle.objects.get_or_create(version=version)
        before = Bundle.objects.select_for_update(no_key=True).get(version=version)
        if before.digest:
            return None
        if before.build_expires_at and before.build_expires_at > now:
            if before.build_token:
                raise BuildDelayed("BEING_BUILT", "Another worker is building this version.")
            raise BuildDelayed(before.reason_code, before.reason_detail)
        # Only a build that came to its end leaves no time behind.
        again = before.build_expires_at is not None
        Bundle.objects.filter(pk=before.pk).update(
            build_token=uuid4(), build_expires_at=now + BUILD_LEASE, attempt=F("attempt") + 1, log=[], reason_code="", reason_detail=""
        )
        bundle = Bundle.objects.get(pk=before.pk)
    return BuildLog(bundle, version, again=again, alive=alive)


def show_to_waiting(bundle: Bundle, *, done: bool = False) -> None:
    """Bring the logs of all deployments up to date that wait for this build; when it is done, have them looked at."""
    waiting = Deployment.objects.filter(wanted_version=bundle.version_id, status__in=[Status.BUILDING, Status.UPDATING])
    for pk in waiting.order_by("pk").values_list("pk", flat=True):
        show_build_log(pk, bundle)
        if done:
            Deployment.objects.filter(pk=pk).update(next_check_at=clock.now())
            wake_on_commit(pk)


def show_build_log(deployment_id: UUID, bundle: Bundle) -> None:
    """Append the lines of the version's last build that a deployment's log does not have yet; call it as often as you like."""
    rows = BuildListener.objects.filter(bundle=bundle, deployment_id=deployment_id)
    # Counted where it lies: logs of builds are long.
    if bundle.digest and rows.filter(attempt=F("bundle__attempt"), sent=LINES_OF_BUNDLE).exists():
        return
    with transaction.atomic():
        BuildListener.objects.bulk_create([BuildListener(bundle=bundle, deployment_id=deployment_id)], ignore_conflicts=True)
        listener = BuildListener.objects.select_for_update(no_key=True).get(bundle=bundle, deployment_id=deployment_id)
        attempt, lines = Bundle.objects.values_list("attempt", "log").get(pk=bundle.pk)
        sent = listener.sent if listener.attempt == attempt else 0
        if sent < len(lines):
            append_lines(deployment_id, [NewLine(int(at), str(level), str(message), "build") for at, level, message in lines[sent:]])
        if (attempt, len(lines)) != (listener.attempt, listener.sent):
            BuildListener.objects.filter(pk=listener.pk).update(attempt=attempt, sent=len(lines))
