"""Who calls the storage API: what an endpoint token with a storage scope allows."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from controlplane.common.errors import PermissionDenied

READ, WRITE = "storage:read", "storage"


@dataclass(frozen=True, slots=True)
class StorageAccess:
    """A verified token: one person, one project, reading or reading and writing."""

    user_id: UUID
    project_id: UUID
    may_write: bool
    is_authenticated: bool = True

    def check_may_write(self) -> None:
        """Raise `PermissionDenied` for a token that may only read."""
        if not self.may_write:
            raise PermissionDenied(
                "read_only", "This token may only read the storage. Ask for one that may write: GET {project}/jwt/?storage=true."
            )
