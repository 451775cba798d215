"""What workspaces do when something happens elsewhere."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from controlplane.accounts.models import User
from controlplane.accounts.signals import user_signed_up
from controlplane.workspaces.services import create_personal_namespace


@receiver(user_signed_up, dispatch_uid="workspaces.personal_namespace")
def give_personal_namespace(user: User, **_: Any) -> None:
    """Give a new user their workspace, in the transaction of the sign-up."""
    create_personal_namespace(user=user)
