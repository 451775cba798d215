"""Deployments, their replicas and bundles, and what they leave behind: status changes, log lines, usage."""

from deployments.models.bundle import Bundle
from deployments.models.deployment import Deployment, StatusChange
from deployments.models.logs import LogHead, LogLine
from deployments.models.replica import Replica
from deployments.models.usage import UsageEvent

__all__ = ["Bundle", "Deployment", "LogHead", "LogLine", "Replica", "StatusChange", "UsageEvent"]
