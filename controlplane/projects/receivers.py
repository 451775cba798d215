"""What projects do when something happens elsewhere."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from controlplane.accounts.models import User
from controlplane.accounts.signals import user_signed_up
from controlplane.projects.services import create_getting_started


@receiver(user_signed_up, dispatch_uid="projects.getting_started")
def give_getting_started(user: User, **_: Any) -> None:
    """Give a new user their first project, in the transaction of the sign-up (workspaces listens before: apps are in order)."""
    create_getting_started(user=user)
