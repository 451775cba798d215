"""The bundle that a deployment needs: there, being built, asked for, or failed. Builders build it, not the reconciler."""

from __future__ import annotations

from functools import partial

from controlplane.common import clock
from controlplane.projects.models import WorkflowVersion
from deployments import wakeups
from deployments.bundles.build import built_bundle
from deployments.bundles.build_log import show_build_log
from deployments.leases import Lease
from deployments.models import Bundle
from deployments.reconcile.outcome import Wait
from deployments.reconcile.settling import settle_failure
from deployments.states import Reason
from deployments.transitions import note_reason

# A hint to the builders may be lost, and a builder may die; the end of a build wakes by itself.
ASK_AGAIN_SECONDS = 3.0
BUILD_SECONDS = 10.0


def wanted_bundle(lease: Lease) -> Bundle | None:
    """Return the wanted version's bundle if it is built."""
    version = lease.deployment.wanted_version
    return built_bundle(version) if version else None


def await_bundle(lease: Lease) -> Bundle | Wait | None:
    """Return the wanted version's bundle, or when to look for it again; None when it cannot be had, and that is settled."""
    deployment = lease.deployment
    version = deployment.wanted_version
    if version is None:
        return settle_failure(lease, Reason("ARCHIVE_MISSING", "The workflow has no version any more."))
    found = built_bundle(version)
    if found is not None:
        show_build_log(deployment.pk, found)
        return found
    return await_build(lease, version)


def await_build(lease: Lease, version: WorkflowVersion) -> Wait | None:
    """Ask the builders for a version that is not built, wait while one is at it, and settle what it failed with."""
    deployment = lease.deployment
    now = clock.now()
    row = Bundle.objects.filter(version=version).defer("log", "lock").first()
    under_way = row is not None and row.build_expires_at is not None and row.build_expires_at > now
    if row is not None and under_way and row.build_token is not None:
        return Wait(BUILD_SECONDS)
    if row is not None and under_way and row.build_expires_at is not None:
        note_reason(lease, Reason(row.reason_code, row.reason_detail))
        return Wait(max((row.build_expires_at - now).total_seconds(), 0.1))
    if row is not None and row.failed_since(deployment.status_since):
        return settle_failure(lease, Reason(row.reason_code, row.reason_detail))
    lease.afterwards.append(partial(wakeups.send_build, version.pk))
    return Wait(ASK_AGAIN_SECONDS)
