"""How callers of the storage API say who they are: an endpoint token with a storage scope, nothing else."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request

from controlplane.accounts.claims import HOW, check_token
from controlplane.audit.origin import set_credential
from controlplane.common.errors import NotAuthenticated, PermissionDenied
from storage.access import READ, WRITE, StorageAccess


class StorageTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <id_token>`; `request.user` is then a `StorageAccess`."""

    def authenticate(self, request: Request) -> tuple[StorageAccess, None]:
        """Return whose token it is. Raises `NotAuthenticated`, and `PermissionDenied` for a token without a storage scope."""
        words = get_authorization_header(request).split()
        if len(words) != 2 or words[0].lower() != b"bearer":
            told = (
                "An API token does not open the storage" if words and words[0].lower() == b"token" else "There is no token in this request"
            )
            raise NotAuthenticated("token_missing", f"{told}. {HOW}")
        claims = check_token(words[1].decode("latin-1"))
        if not claims.scopes & {READ, WRITE}:
            raise PermissionDenied("wrong_scope", f"This token is not for the storage. {HOW}")
        set_credential("endpoint token")
        return StorageAccess(claims.user_id, claims.project_id, may_write=WRITE in claims.scopes), None

    def authenticate_header(self, request: Request) -> str:
        """Return what a 401 asks for."""
        return "Bearer"


class StorageTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The token in the API description."""

    target_class = StorageTokenAuthentication
    name = "storageToken"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `id_token` of `GET {project}/jwt/?storage=true` (`?storage=read` for one that only reads).",
        }


def access_of(request: Request) -> StorageAccess:
    """Return who calls. Raises `NotAuthenticated`."""
    if not isinstance(request.user, StorageAccess):
        raise NotAuthenticated("token_missing", f"There is no token in this request. {HOW}")
    return request.user
