"""What can be done with workspaces."""

from __future__ import annotations

from controlplane.accounts.models import User
from controlplane.workspaces.models import Namespace, Visibility


def create_personal_namespace(*, user: User) -> Namespace:
    """Create the workspace that every user has; its path is their name."""
    return Namespace.objects.create(name=user.username, path=user.username, owner=user, visibility=Visibility.PRIVATE)
