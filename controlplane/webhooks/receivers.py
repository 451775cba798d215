"""What webhooks do when something happens to projects."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from controlplane.projects.models import Project
from controlplane.projects.signals import project_deleting
from controlplane.webhooks.models import Delivery, Webhook


@receiver(project_deleting, dispatch_uid="webhooks.project_deleting")
def clear_project(project: Project, **_: Any) -> None:
    """Let webhooks and what is on its way to them go with their project."""
    gone = list(Webhook.objects.select_for_update().filter(project=project).order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(webhook__in=gone).delete()
    Webhook.objects.filter(pk__in=gone).delete()
