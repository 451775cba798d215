"""Deployments, their revisions, replicas and bundles, and what they leave behind: status changes, log lines, usage, alerts."""

from deployments.models.alert import Alert, AlertKind
from deployments.models.bundle import BuildListener, Bundle
from deployments.models.deployment import Deployment, Revision, RevisionKind, RevisionState, StatusChange
from deployments.models.logs import LogHead, LogLine
from deployments.models.replica import Replica
from deployments.models.schedule import Schedule, ScheduleAction
from deployments.models.usage import UsageBucket, UsageEvent, UsageGrain

__all__ = [
    "Alert",
    "AlertKind",
    "BuildListener",
    "Bundle",
    "Deployment",
    "LogHead",
    "LogLine",
    "Replica",
    "Revision",
    "RevisionKind",
    "RevisionState",
    "Schedule",
    "ScheduleAction",
    "StatusChange",
    "UsageBucket",
    "UsageEvent",
    "UsageGrain",
]
