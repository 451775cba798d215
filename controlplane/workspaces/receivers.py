"""What workspaces do when something happens elsewhere."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from controlplane.accounts.models import User
from controlplane.accounts.signals import user_signed_up, username_wanted
from controlplane.common.errors import Conflict
from controlplane.workspaces.models import Organization
from controlplane.workspaces.services import create_personal_namespace


@receiver(user_signed_up, dispatch_uid="workspaces.personal_namespace")
def give_personal_namespace(user: User, **_: Any) -> None:
    """Give a new user their workspace, in the transaction of the sign-up."""
    create_personal_namespace(user=user)


@receiver(username_wanted, dispatch_uid="workspaces.username_wanted")
def refuse_name_of_workspace(username: str, **_: Any) -> None:
    """Refuse the name of an organization: paths begin with either. Raises `Conflict`."""
    if Organization.objects.filter(name__iexact=username).exists():
        raise Conflict("username_taken", f"The name '{username}' is taken. Choose another one.", fields={"username": ["taken"]})
